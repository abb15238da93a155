// 64-bit hashing of names, the same on every machine: what several front ends must agree on rests on it.
#pragma once

#include <cstdint>
#include <string_view>

namespace lbsticky {

// Spreads every bit of x over the whole result (the finalizer of MurmurHash3, Austin Appleby, public domain).
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;
    return x;
}

// FNV-1a (Fowler, Noll, Vo), then mix64: about one nanosecond a byte, no allocation. It is not a secret and not
// meant to withstand somebody who looks for collisions: such a client only chooses its own worker.
constexpr std::uint64_t hash64(std::string_view text) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x00000100000001b3ULL;
    }
    return mix64(hash);
}

}  // namespace lbsticky
