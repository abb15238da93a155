// How many different things were seen lately, in two kilobytes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lbsticky {

// Counts different hashes over the last three slices of time, the current one included: HyperLogLog (P. Flajolet and
// others, 2007), a sketch for each slice, in a ring. The sketches of several slices together are one sketch, register
// by register the larger one, so what comes in every slice counts once.
//
// A register has four bits, which is enough for 20 million: above, the estimate falls behind. The estimator is that of
// O. Ertl ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6): without bias from 0
// on, and 0 only if nothing was seen. Its standard error is 1.04 / sqrt(registers): 2.8%.
//
// It lies in memory that processes share; zeros are an empty one. Anyone may call anything at any time, and may be
// killed at any moment: there is no lock. Where a slice ends, threads that see it at once may each clear its place, and
// what another added between them is lost. That takes a microsecond, and whoever is counted comes again.
class DistinctCount {
public:
    static constexpr std::uint32_t slices = 3;

    // Counts a hash, all bits of which must be spread evenly. `slice` is the number of the current slice of time, at
    // least 1. Most often it only reads: a cache line, and one more for the number of the slice. Returns whether the
    // slice has changed: never by a hash that it has, and the seldomer by others the more it has.
    bool add(std::uint64_t hash, std::uint32_t slice) noexcept;

    // How many different hashes were added in the slice with that number and the two before it. Reads all of it, 3 us:
    // not for every request.
    double estimate(std::uint32_t slice) const noexcept;

private:
    static constexpr std::size_t registers = 1344;
    static constexpr unsigned bits = 4;
    static constexpr unsigned largest = (1U << bits) - 1;
    using Pair = std::atomic<std::uint8_t>;  // of registers
    using Sketch = std::array<Pair, registers / 2>;

    // Whether a place of the ring that holds slice `held` (0: none) holds one that counts at `slice`. Requests do not
    // come in the order of their times: for one that is late, what is there already may be of the next slice.
    static bool counts(std::uint32_t held, std::uint32_t slice) noexcept {
        return held != 0 && held + slices > slice && slice + slices > held;
    }

    std::array<std::atomic<std::uint32_t>, slices> held_;  // by place: the number of the slice in it
    std::array<Sketch, slices> sketches_;
};
static_assert(sizeof(DistinctCount) <= 2048);

}  // namespace lbsticky
