// Weighted round robin as a pure function of a ticket.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lbsticky {

// Hands out 0, 1, 2, … to all processes and threads together, each number once. This counter in shared memory, raised
// by one relaxed increment, is all that processes share of a rotation. Anyone may call draw() at any time.
class Tickets {
public:
    explicit Tickets(std::atomic<std::uint64_t>& next, std::size_t sequence = 0) noexcept
        : next_(next), sequence_(sequence) {}
    std::uint64_t draw() noexcept { return next_.fetch_add(1, std::memory_order_relaxed); }

    // Which of a balancer's sequences of tickets it is, 0 or 1.
    std::size_t sequence() const noexcept { return sequence_; }

    // For a rehearsal, which shows whose turn it would be: `copy` is a counter that nobody shares, with the number that
    // the first sequence is at. Nothing that processes share is changed by who draws from it.
    static Tickets to_rehearse(std::atomic<std::uint64_t>& copy) noexcept {
        Tickets tickets(copy);
        tickets.is_rehearsal_ = true;
        return tickets;
    }
    bool is_rehearsal() const noexcept { return is_rehearsal_; }

private:
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
    std::atomic<std::uint64_t>& next_;
    std::size_t sequence_;
    bool is_rehearsal_ = false;
};

// Says whose turn it is, for a fixed set of weights. The constructor lays down the order of one cycle as a table; a
// ticket is a position in it.
//
//   weights   the cycle, again and again
//   1 1 1     0 1 2
//   1 2 3     2 1 2 0 1 2
//   5 1 1     0 0 1 0 0 2 0
//
// In each cycle every worker is picked exactly as often as its weight says, and at no point of it is a worker a whole
// pick away from its exact share. The order is that of R. Tijdeman, "The chairman assignment problem" (Discrete
// Mathematics 32, 1980): of the workers whose next pick is due, the one with the earliest deadline.
//
// Weights are first divided by their greatest common divisor. If their sum is still above max_cycle(), they are rounded
// so that a cycle is about that long. Every worker gets at least one pick of it; those that are due one or more are
// within about one pick a cycle of their exact share.
//
// Immutable: any number of threads may pick at once.
class Rotation {
public:
    // Takes one weight a worker, each at least 1, at most 65,535 of them; none make an empty rotation. Costs O(cycle *
    // log workers); throws std::bad_alloc, and std::invalid_argument for a weight of 0.
    explicit Rotation(std::span<const std::uint32_t> weights);

    bool empty() const noexcept { return order_.empty(); }

    // The worker whose turn the ticket is, as an index into the weights. O(1). Not for an empty rotation.
    std::size_t pick(std::uint64_t ticket) const noexcept {
        return order_[static_cast<std::size_t>(ticket % order_.size())];
    }

    // How many picks each worker is behind its exact share (negative: ahead) once `tickets` tickets are drawn, in
    // hundredths of a pick, rounded towards zero. Costs O(cycle): for display, not for requests.
    std::vector<int> owed(std::uint64_t tickets) const;

    std::size_t cycle() const noexcept { return order_.size(); }

    // About the longest cycle for so many workers. It takes a few milliseconds to build.
    static std::uint64_t max_cycle(std::size_t workers) noexcept {
        return std::max<std::uint64_t>(32768, 32 * static_cast<std::uint64_t>(workers));
    }

private:
    std::vector<std::uint64_t> shares_;  // picks of each worker in a cycle
    std::vector<std::uint16_t> order_;   // the worker at each position of the cycle
};

}  // namespace lbsticky
