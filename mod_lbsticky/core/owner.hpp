// Whose something in shared memory is.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/hash64.hpp"

namespace lbsticky {

// The worker to which something belongs, known by its URL: nobody's at first, then one's for good. Memory of zeros is
// nobody. Anyone may call anything at any time.
class Owner {
public:
    // Gives it to the worker with that URL. False if it is another worker's.
    bool claim(std::string_view url) noexcept {
        const std::uint64_t wanted = number_of(url);
        std::uint64_t found = 0;
        return number_.compare_exchange_strong(found, wanted, std::memory_order_relaxed) || found == wanted;
    }

    // A number made of the worker's URL; 0: nobody's.
    std::uint64_t number() const noexcept { return number_.load(std::memory_order_relaxed); }
    static std::uint64_t number_of(std::string_view url) noexcept { return hash64(url); }

private:
    std::atomic<std::uint64_t> number_;
};

}  // namespace lbsticky
