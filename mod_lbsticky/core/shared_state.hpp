// What all processes share about one balancer, and how it lies in memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/affinity.hpp"
#include "core/balancer_counts.hpp"
#include "core/owner.hpp"

namespace lbsticky {

// What is counted about one worker of a balancer. It has cache lines of its own, so that counting for one never waits
// for another. Anyone may count at any time. Memory of zeros is a fresh one.
struct alignas(64) WorkerTally {
    Owner owner;                                                         // the worker whose it is
    std::array<std::atomic<std::uint64_t>, served_affinities> requests;  // that it was chosen for, by affinity
    std::atomic<std::uint64_t> moved_away;      // requests that wanted it and could not have it
    std::atomic<std::uint64_t> unknown_routes;  // that it was chosen for first, whose session id named nobody

    // Its share of the new sessions counts since then (0: the start), and what was counted of them before: for it, and
    // for all workers of the balancer.
    std::atomic<Milliseconds> since;
    std::atomic<std::uint64_t> fresh_before;
    std::atomic<std::uint64_t> all_fresh_before;

    // Not for `refused`.
    std::atomic<std::uint64_t>& of(Affinity affinity) noexcept { return requests[static_cast<std::size_t>(affinity)]; }

    // Lets its share count anew since that time, when there were so many new sessions of all workers; the first process
    // that says so is heard.
    void count_from(Milliseconds when, std::uint64_t all_fresh) noexcept;

    // Adds what another one holds.
    void add(const WorkerTally& other) noexcept;
};

// What is noticed once a start, whichever process sees it first. Anyone may call anything at any time.
class Notices {
public:
    // Begins anew. For the start, before there are requests that could be noticed.
    void reset() noexcept {
        sessions_seen_.store(false, std::memory_order_relaxed);
        requests_without_.store(0, std::memory_order_relaxed);
        absence_told_.store(false, std::memory_order_relaxed);
        cookie_told_.store(false, std::memory_order_relaxed);
    }

    // A request had a session id. Writes the first time only.
    void session_seen() noexcept {
        if (!sessions_seen_.load(std::memory_order_relaxed)) sessions_seen_.store(true, std::memory_order_relaxed);
    }

    // A request had no session id. How many there were, as long as none had one and no more than `enough` had none;
    // from then on nothing is counted, and the answer is 0.
    std::uint32_t without_session(std::uint32_t enough) noexcept {
        if (sessions_seen_.load(std::memory_order_relaxed)) return 0;
        if (requests_without_.load(std::memory_order_relaxed) >= enough) return 0;
        return requests_without_.fetch_add(1, std::memory_order_relaxed) + 1;
    }

    // Whether it is the first time that somebody is told of that.
    bool is_first_told_of_absence() noexcept { return !absence_told_.exchange(true, std::memory_order_relaxed); }

    // Whether it is the first time that a worker sets a cookie of the balancer's name.
    bool is_first_foreign_cookie() noexcept { return !cookie_told_.exchange(true, std::memory_order_relaxed); }

private:
    std::atomic<bool> sessions_seen_;
    std::atomic<bool> absence_told_;
    std::atomic<bool> cookie_told_;
    std::atomic<std::uint32_t> requests_without_;
};

// What is not about one worker. Numbers only: processes map it where they like, and two generations of a server use it
// at once over a graceful restart. Memory of zeros is a fresh state but for the mark.
struct SharedState {
    static constexpr std::uint64_t intact_mark = 0x6c62737469636b09ULL;  // "lbstick" and the version of the layout

    // Makes a state in zeroed memory for one, aligned to 64 bytes.
    static SharedState* create(void* memory) noexcept;

    // Whether this still is what create() made, by this version of the layout. O(1).
    bool intact() const noexcept { return mark.load(std::memory_order_relaxed) == intact_mark; }

    // Sums over these tallies, null or not, and `gone` and what was refused, by affinity.
    std::array<std::uint64_t, affinities> totals(std::span<WorkerTally* const> tallies) const noexcept;

    // Of these, the one of new sessions.
    std::uint64_t all_fresh(std::span<WorkerTally* const> tallies) const noexcept {
        return totals(tallies)[static_cast<std::size_t>(Affinity::fresh)];
    }

    // The first three are read by every request and hardly ever written: they lie apart from what every request writes.
    alignas(64) std::atomic<std::uint64_t> mark;

    // Raised when anything about the workers may have changed: whoever has seen a lower one looks at them again.
    std::atomic<std::uint64_t> generation;

    Notices notices;

    // The next ticket of the rotation.
    alignas(64) std::atomic<std::uint64_t> tickets;

    // The next ticket for requests that cannot begin a session: a rotation of their own, or they would take the turns
    // of sessions. (OPTIONS before each GET, with two workers: all sessions on the second.)
    alignas(64) std::atomic<std::uint64_t> tickets_without_session;

    // What is rare shares a line. Of unknown_routes here are the requests that nobody could serve: the others are in
    // the tally of the worker that was chosen first.
    alignas(64) PerCount<std::atomic<std::uint64_t>> counts;

    // The sums of what was counted for workers that have no tally of their own any more.
    WorkerTally gone;
};

}  // namespace lbsticky
