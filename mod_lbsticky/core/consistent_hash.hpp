// Session id -> worker, weighted, moving as little as possible when the workers change.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "core/hash64.hpp"

namespace lbsticky {

// Rendezvous hashing (D. Thaler and C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998), weighted
// by the logarithm method (C. Schindelhauer and G. Schomaker, "Weighted Distributed Hash Tables", 2005): every worker
// draws an exponentially distributed time for the key, with its weight as the rate, and the earliest time wins. Hence
//
//   - a worker's share of the keys is its share of the weights;
//   - a worker that leaves moves only its own keys, and one that comes only those that it will hold; so do a weight
//   that falls and one that rises;
//   - the result depends on the names and weights alone, not on their order, on the process, or on the machine.
//
// To place a key costs 2.3 ns for each worker, and a logarithm for a few of them: 0.2 us with 32 workers, 0.5 us with
// 128, 9 us with 4,096. With up to 32 nothing is cached: that is half a percent of a request at most. With more, a
// cache holds the keys that were placed last and finds one in 0.01 us: nearly all where 2,000 are in use at a time, 19
// in 20 of 4,000, a third of 20,000. It takes 64 KB, one of the processor's cache lines for six keys. It compares
// hashes in full, so that it never changes where a key goes.
//
// One thread at a time: place() changes the cache.
class ConsistentHash {
public:
    // At most 65,535 workers may be added. Throws std::bad_alloc, std::length_error.
    void add(std::string_view route_id, std::uint32_t weight);

    // The worker that the key goes to, by its position in the order of add(); nothing if there is none. Throws
    // std::bad_alloc. The first call makes no cache: an object for the retry of one request gets no second one.
    std::optional<std::size_t> place(std::string_view key);

    // Where the key goes if only the workers are there for which `may(number)` is true; nothing if there is none. Looks
    // at every worker.
    template <typename May>
    std::optional<std::size_t> place_among(std::string_view key, May&& may) const noexcept {
        return winner_of(hash64(key), may);
    }

    // With up to so many workers nothing is cached.
    static constexpr std::size_t max_uncached = 32;

    // Whether keys are cached.
    bool has_cache() const noexcept { return !cache_.empty(); }

    // The cache is set-associative: a key's set is the remainder of its hash.
    static constexpr std::size_t cache_sets = 1024;
    static constexpr std::size_t cache_ways = 6;

private:
    struct Entry {
        std::uint64_t seed;
        double weight;
    };
    // One cache line of keys, the latest first.
    struct alignas(64) CacheSet {
        std::array<std::uint64_t, cache_ways> keys;     // hashes
        std::array<std::uint16_t, cache_ways> winners;  // the worker's position + 1; 0: empty
    };
    static_assert(sizeof(CacheSet) == 64);

    std::size_t cached_winner(std::uint64_t key);

    // Of the workers that may, the one with the earliest time.
    template <typename May>
    std::optional<std::size_t> winner_of(std::uint64_t key, May&& may) const noexcept {
        std::optional<std::size_t> winner;
        double best = std::numeric_limits<double>::infinity();
        for (std::size_t worker = 0; worker < entries_.size(); ++worker) {
            const Entry& entry = entries_[worker];
            const std::uint64_t draw = mix64(key ^ entry.seed);
            const double u = (static_cast<double>(draw >> 11) + 0.5) * 0x1p-53;  // in (0, 1)
            // -ln(u) is at least 1 - u, which rules out nearly all workers without a logarithm.
            if (1.0 - u >= best * entry.weight || !may(worker)) continue;
            const double time = -std::log(u) / entry.weight;
            if (time < best) {
                best = time;
                winner = worker;
            }
        }
        return winner;
    }

    std::vector<Entry> entries_;
    std::vector<CacheSet> cache_;
    bool was_asked_ = false;
};

}  // namespace lbsticky
