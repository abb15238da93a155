// 64-bit hashes of names, the same on every machine: front ends agree by them on where sessions go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace lbsticky {

// The bytes as a little-endian number. Compilers make one load of it.
template <std::size_t... i>
constexpr std::uint64_t little_endian(const char* bytes, std::index_sequence<i...>) noexcept {
    return (... | (std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i)));
}

// Spreads every bit of x over the whole result (the finalizer of MurmurHash3, Austin Appleby, public domain).
constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;
    return x;
}

// MurmurHash64A with seed 0 (Austin Appleby, public domain): eight bytes at a time, no allocation. Anyone can find
// collisions; a client that does only chooses its own worker.
constexpr std::uint64_t hash64(std::string_view text) noexcept {
    constexpr std::uint64_t m = 0xc6a4a7935bd1e995ULL;
    std::uint64_t hash = text.size() * m;
    for (; text.size() >= 8; text.remove_prefix(8)) {
        std::uint64_t word = little_endian(text.data(), std::make_index_sequence<8>());
        word *= m;
        word ^= word >> 47;
        word *= m;
        hash = (hash ^ word) * m;
    }
    if (!text.empty()) {
        std::uint64_t rest = 0;
        for (std::size_t i = text.size(); i-- > 0;) rest = rest << 8 | static_cast<unsigned char>(text[i]);
        hash = (hash ^ rest) * m;
    }
    hash ^= hash >> 47;
    hash *= m;
    return hash ^ hash >> 47;
}

}  // namespace lbsticky
