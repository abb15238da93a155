// What all processes share about one balancer, and how it lies in memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/affinity.hpp"

namespace lbsticky {

// What is counted about one worker. It has cache lines of its own, so that counting for one never waits for another.
// Anyone may count at any time.
struct alignas(64) WorkerTally {
    std::atomic<std::uint64_t> owner;  // hash64 of the worker's URL; 0 as long as nobody has this place
    std::array<std::atomic<std::uint64_t>, served_affinities> requests;  // that it was chosen for, by affinity
    std::atomic<std::uint64_t> moved_away;  // requests that wanted it and could not have it

    // Not for `refused`.
    std::atomic<std::uint64_t>& of(Affinity affinity) noexcept { return requests[static_cast<std::size_t>(affinity)]; }

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

// The layout of a segment: this header, then one WorkerTally for each slot httpd has for a worker of this balancer, in
// httpd's order. Numbers and indexes only: processes map it where they like, and two generations of a server use it at
// once over a graceful restart. Memory of zeros is a fresh state but for the mark.
class SharedState {
public:
    // Bytes that a state for so many worker slots takes.
    static std::size_t bytes(std::size_t slots) noexcept { return sizeof(SharedState) + slots * sizeof(WorkerTally); }

    // Makes a state in memory of at least bytes(slots), zeroed, aligned to 64 bytes.
    static SharedState* create(void* memory, std::size_t slots) noexcept;

    // Whether this still is what create() made for so many slots, by this version of the layout. O(1).
    bool intact(std::size_t slots) const noexcept {
        return mark_.load(std::memory_order_relaxed) == mark && slots_ == slots;
    }

    // Raised when anything about the workers may have changed: whoever has seen a lower one looks at them again.
    std::atomic<std::uint64_t>& generation() noexcept { return generation_; }

    // The next ticket of the rotation.
    std::atomic<std::uint64_t>& tickets() noexcept { return tickets_; }

    // The next ticket for requests that cannot begin a session: a rotation of their own, or they would take the turns
    // of sessions. (OPTIONS before each GET, with two workers: all sessions on the second.)
    std::atomic<std::uint64_t>& tickets_without_session() noexcept { return tickets_without_session_; }

    // Requests that were refused rather than sent to another worker.
    std::atomic<std::uint64_t>& refused() noexcept { return refused_; }

    // Cookies of the balancer's own that were given to clients, and those from clients that named nobody.
    std::atomic<std::uint64_t>& cookies_issued() noexcept { return cookies_issued_; }
    std::atomic<std::uint64_t>& cookies_unknown() noexcept { return cookies_unknown_; }

    // Requests with a cookie of the balancer's own that was signed with another than the first secret.
    std::atomic<std::uint64_t>& cookies_outdated() noexcept { return cookies_outdated_; }

    // Session ids that no route was appended to, because they would have become too long.
    std::atomic<std::uint64_t>& ids_too_long() noexcept { return ids_too_long_; }

    // Requests whose session id carried no route, or one that no worker has.
    std::atomic<std::uint64_t>& unknown_routes() noexcept { return unknown_routes_; }

    // What is noticed once a start.
    Notices& notices() noexcept { return notices_; }

    // Gives a slot to the worker with that URL. False if there is no such slot or it is another worker's: httpd never
    // gives a slot away while it runs, so that is so only after a restart.
    bool claim(std::size_t slot, std::string_view url) noexcept;

    // Whether a slot is somebody's. O(1).
    bool is_claimed(std::size_t slot) const noexcept {
        return slot < slots_ && tallies()[slot].owner.load(std::memory_order_relaxed) != 0;
    }

    // The tally of a slot; nothing for a slot that is not there. O(1).
    WorkerTally* tally(std::size_t slot) noexcept { return slot < slots_ ? &tallies()[slot] : nullptr; }

    // The sums of what was counted for workers that are in no slot any more.
    const WorkerTally& gone() const noexcept { return gone_; }

    // Sums over all workers, those that are gone and `refused` included, by affinity. They never go down.
    std::array<std::uint64_t, affinities> totals() const noexcept;

    // Takes over rotation and counts from a state that this one replaces: same balancer, other slots.
    void inherit(const SharedState& old) noexcept;

private:
    static constexpr std::uint64_t mark = 0x6c62737469636b07ULL;  // "lbstick" and the version of the layout

    WorkerTally* tallies() noexcept { return reinterpret_cast<WorkerTally*>(this + 1); }
    const WorkerTally* tallies() const noexcept { return reinterpret_cast<const WorkerTally*>(this + 1); }

    // Read by every request and hardly ever written, apart from what every request writes.
    alignas(64) std::atomic<std::uint64_t> mark_;
    std::uint64_t slots_;
    std::atomic<std::uint64_t> generation_;
    Notices notices_;
    alignas(64) std::atomic<std::uint64_t> tickets_;
    alignas(64) std::atomic<std::uint64_t> tickets_without_session_;
    alignas(64) std::atomic<std::uint64_t> unknown_routes_;
    // What is rare shares a line.
    alignas(64) std::atomic<std::uint64_t> refused_;
    std::atomic<std::uint64_t> cookies_issued_;
    std::atomic<std::uint64_t> cookies_unknown_;
    std::atomic<std::uint64_t> cookies_outdated_;
    std::atomic<std::uint64_t> ids_too_long_;
    WorkerTally gone_;
};

}  // namespace lbsticky
