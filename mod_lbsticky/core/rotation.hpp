// Weighted round robin as a pure function of a ticket.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lbsticky {

// Hands out 0, 1, 2, … to all processes and threads together, each number once. One relaxed increment of memory they
// share: it is all that rotation shares. Anyone may call draw() at any time.
class Tickets {
public:
    explicit Tickets(std::atomic<std::uint64_t>& next) noexcept : next_(next) {}
    std::uint64_t draw() noexcept { return next_.fetch_add(1, std::memory_order_relaxed); }

private:
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
    std::atomic<std::uint64_t>& next_;
};

// Who is served next, for a fixed set of weights. The order of one cycle is laid down when it is built; a pick is a
// look into that table at the place the ticket names.
//
//   weights   the cycle, again and again
//   1 1 1     0 1 2
//   1 2 3     2 1 2 0 1 2
//   5 1 1     0 0 1 0 0 2 0
//
// In each cycle everyone is picked exactly as often as its weight says, and at every point of it everyone is less than
// one pick away from its exact share. The order is that of R. Tijdeman, "The chairman assignment problem" (Discrete
// Mathematics 32, 1980): of those whose next pick is due, the one with the earliest deadline.
//
// Weights are divided by their common divisor first. Where the sum is then still above max_cycle(), they are rounded so
// that a cycle is about that long: everyone who is due a pick in it is then within about one pick a cycle of its exact
// share.
//
// Immutable: any number of threads may pick at once.
class Rotation {
public:
    // One weight a worker, each at least 1; at most 65,535 of them. None is allowed: such a rotation has no pick.
    // Costs O(cycle * log workers); throws std::bad_alloc.
    explicit Rotation(std::span<const std::uint32_t> weights);

    bool empty() const noexcept { return order_.empty(); }

    // Whose turn the ticket is: an index into the weights. O(1). Not for an empty rotation.
    std::size_t pick(std::uint64_t ticket) const noexcept {
        return order_[static_cast<std::size_t>(ticket % order_.size())];
    }

    // How many picks each is behind its exact share (ahead: negative) once `tickets` tickets are drawn, in hundredths
    // of a pick, rounded towards zero. Costs O(cycle): for people to look at, not for requests.
    std::vector<int> owed(std::uint64_t tickets) const;

    std::size_t cycle() const noexcept { return order_.size(); }

    // About the longest cycle built for so many workers: a few milliseconds' worth.
    static std::uint64_t max_cycle(std::size_t workers) noexcept {
        return std::max<std::uint64_t>(32768, 32 * static_cast<std::uint64_t>(workers));
    }

private:
    std::vector<std::uint64_t> shares_;  // how often each is picked in a cycle
    std::vector<std::uint16_t> order_;
};

}  // namespace lbsticky
