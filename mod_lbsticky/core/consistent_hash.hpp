// Session id -> worker, weighted, moving as little as possible when the workers change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
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
// The answer for a key costs O(workers) the first time (about 1.5 ns a worker) and O(1) as long as it is remembered;
// the memory is a direct-mapped cache, so it has no part in where a key goes.
//
// One thread at a time: place() remembers.
class ConsistentHash {
public:
    // At most 65,535 workers may be added. Throws std::bad_alloc, std::length_error.
    void add(std::string_view route_id, std::uint32_t weight);

    // Where the key goes: the number of the worker in the order they were added; nothing if there is none.
    // Throws std::bad_alloc (it takes its memory at the first call).
    std::optional<std::size_t> place(std::string_view key);

    // Sessions remembered, and so the most that are O(1) at once; 8 bytes each.
    static constexpr std::size_t remembered = std::size_t{1} << 16;

private:
    struct Entry {
        std::uint64_t seed;
        double weight;
    };
    struct Free {
        void operator()(std::uint64_t* memory) const noexcept { std::free(memory); }
    };

    std::size_t earliest(std::uint64_t key) const noexcept;

    std::vector<Entry> entries_;
    std::unique_ptr<std::uint64_t[], Free> memory_;  // zero pages until touched: 48 bits of the key, 16 of the answer
};

}  // namespace lbsticky
