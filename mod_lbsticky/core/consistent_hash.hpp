// Session id -> worker, weighted, moving as little as possible when the workers change.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace lbsticky {

// Rendezvous hashing (D. Thaler and C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998), weighted
// by the logarithm method (C. Schindelhauer and G. Schomaker, "Weighted Distributed Hash Tables", 2005): every worker
// draws an exponentially distributed time for the key, at a rate of its weight, and the earliest wins. Hence
//
//   - a worker's share of the keys is its share of the weights;
//   - a worker that leaves takes away its own keys only, one that comes takes what it will hold and nothing else,
//     and the same goes for a weight that falls or rises;
//   - the answer depends on the names and weights alone, not on their order, on the process, or on the machine.
//
// An answer looks at every worker: 2.3 ns each, and a logarithm for a few; that is 0.2 us for 32 workers, 0.5 us for
// 128, 9 us for 4,096. With up to 32 it is done each time, which is half a hundredth of a request at most. With more,
// the ids asked for last are remembered, and found in 0.01 us: nearly all of them where 2,000 are in use at a time, 19
// in 20 of 4,000, a third of 20,000. That takes 64 KB, a cache line for six ids. Hashes are kept whole, so that what is
// remembered has no part in where a key goes.
//
// One thread at a time: place() remembers.
class ConsistentHash {
public:
    // At most 65,535 workers may be added. Throws std::bad_alloc, std::length_error.
    void add(std::string_view route_id, std::uint32_t weight);

    // Where the key goes: the number of the worker in the order they were added; nothing if there is none.
    // Throws std::bad_alloc: it takes its memory at the second call. Made for the retry of a request, it has only one.
    std::optional<std::size_t> place(std::string_view key);

    // With so many workers and fewer, no id is remembered.
    static constexpr std::size_t few = 32;

    // Whether ids are remembered.
    bool remembers() const noexcept { return !memory_.empty(); }

    // Ids whose hashes have the same remainder share a set.
    static constexpr std::size_t sets = 1024;
    static constexpr std::size_t ids_of_a_set = 6;

private:
    struct Entry {
        std::uint64_t seed;
        double weight;
    };
    // Ids that share a cache line, the latest first.
    struct alignas(64) Set {
        std::array<std::uint64_t, ids_of_a_set> keys;     // hashes
        std::array<std::uint16_t, ids_of_a_set> answers;  // one more than the place; 0: none
    };
    static_assert(sizeof(Set) == 64);

    std::size_t remembered(std::uint64_t key);
    std::size_t earliest(std::uint64_t key) const noexcept;

    std::vector<Entry> entries_;
    std::vector<Set> memory_;
    bool was_asked_ = false;
};

}  // namespace lbsticky
