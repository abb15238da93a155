// A worker that comes into service gets a part of its share of the new sessions, which grows until it is all of it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/worker.hpp"

namespace lbsticky {

// How a worker starts slowly.
struct SlowStart {
    Milliseconds duration = 0;  // at most `longest`; 0: at once
    std::uint32_t from = 10;    // per cent of its share at the beginning, 1 to 100

    static constexpr Milliseconds longest = Milliseconds{7} * 86'400'000;

    // The part of its share that a worker gets that came into service then, in 2^32ths.
    std::uint64_t part(Milliseconds since, Milliseconds now) const noexcept {
        if (now >= since + duration) return whole;
        const Milliseconds elapsed = now > since ? now - since : 0;
        const auto rounded_up = [](std::uint64_t number, std::uint64_t by) { return (number + by - 1) / by; };
        return std::max(rounded_up(elapsed * whole, duration), rounded_up(from * whole, 100));
    }

    static constexpr std::uint64_t whole = std::uint64_t{1} << 32;
};

// Thins out the turns of a worker: which of them it takes, and which it leaves to the next one in turn. That is
// Bresenham's line: what it has taken is never a whole turn away from what the parts of its turns add up to, from
// whichever turn on one counts, however the part changes meanwhile.
//
//   part   takes
//   1      1 1 1 1 1 1 1 1
//   1/2    0 1 0 1 0 1 0 1
//   3/8    0 0 1 0 0 1 0 1
//
// It lies in memory that processes share; zeros are a fresh one. Anyone may call it at any time; it costs an atomic
// addition.
class Thinning {
public:
    // Whether it takes this turn, of which that part is its own (in 2^32ths).
    bool takes(std::uint64_t part) noexcept {
        if (part >= SlowStart::whole) return true;
        const auto addend = static_cast<std::uint32_t>(part);
        const std::uint32_t before = sum_.fetch_add(addend, std::memory_order_relaxed);
        return before + addend < before;  // a whole one is full
    }

    // Whether it would take the last of so many turns, if they were all that came from now on, each with that part.
    bool would_take(std::uint64_t part, std::uint32_t turns) const noexcept {
        const auto full = [&](std::uint32_t after) {
            return (std::uint64_t{sum_.load(std::memory_order_relaxed)} + after * part) / SlowStart::whole;
        };
        return full(turns) > full(turns - 1);
    }

private:
    static_assert(std::atomic<std::uint32_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
    std::atomic<std::uint32_t> sum_;  // of the parts, modulo 1
};

}  // namespace lbsticky
