// Starts of the server: what shared memory says of a worker is of one of them.
#pragma once

#include <cstdint>

namespace lbsticky {

// How many starts lie between two, which are counted modulo 2^16; negative if `now` is the older one.
constexpr std::int16_t starts_since(std::uint16_t start, std::uint16_t now) noexcept {
    return static_cast<std::int16_t>(static_cast<std::uint16_t>(now - start));
}

}  // namespace lbsticky
