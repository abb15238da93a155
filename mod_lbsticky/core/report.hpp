// A balancer's state at one moment, as people and monitoring systems are shown it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/affinity.hpp"
#include "core/balancer_counts.hpp"
#include "core/placement.hpp"
#include "core/worker.hpp"

namespace lbsticky {

// What was counted for one worker.
struct Counts {
    std::array<std::uint64_t, served_affinities> requests{};  // by affinity
    std::uint64_t moved_away = 0;                             // that wanted it and could not have it

    std::uint64_t of(Affinity affinity) const noexcept { return requests[static_cast<std::size_t>(affinity)]; }

    Counts& operator+=(const Counts& other) noexcept {
        for (std::size_t i = 0; i < served_affinities; ++i) requests[i] += other.requests[i];
        moved_away += other.moved_away;
        return *this;
    }
};

struct WorkerReport {
    std::string url;     // as it may be shown, and no other worker's of the balancer
    std::string route;   // empty: none
    std::string cookie;  // the value of the balancer's own cookie that names it; empty: none, or a secret token
    Status status;
    std::uint32_t factor = 0;                    // in hundredths
    bool in_rotation = false;                    // has a share of the new sessions
    std::uint32_t part_of_share = 1000;          // that it is to get, in thousandths: recovering workers get a part
    std::uint64_t busy = 0;                      // requests that it is serving now, as mod_proxy counts them
    std::uint64_t in_flight = 0;                 // the same, exactly
    std::uint64_t sessions = 0;                  // that are alive on it
    std::optional<std::uint64_t> sticky_age;     // seconds since the last sticky request; none: never
    std::optional<std::uint64_t> status_age;     // seconds since it is what it is (Lifecycle); none: since the start
    std::optional<std::uint64_t> draining_age;   // seconds since it began to drain; none: it is not draining
    std::optional<std::uint64_t> deadline_left;  // seconds until its sessions are moved; none: never
    std::string drain_lacks = "nothing is known of it";  // what is missing until it is drained; empty: it is
    Counts counts;
    // New sessions since it is what it is: its own, and those of all workers.
    std::uint64_t fresh = 0;
    std::uint64_t all_fresh = 0;

    std::uint64_t weight() const noexcept { return in_rotation ? std::uint64_t{factor} * part_of_share : 0; }
};

// The store of learned sessions.
struct StoreReport {
    std::string address;  // as it may be shown
    std::string state;    // "here", "away", or "unknown" as long as it was not needed
    // Look-ups by what came of them: `look_up_words`.
    std::array<std::uint64_t, 6> look_ups{};
    std::uint64_t stored = 0;    // sessions that it took
    std::uint64_t dropped = 0;   // that it was never given
    std::uint64_t failures = 0;  // of any attempt
};

// What came of a look-up: the first three were asked.
inline constexpr std::array<std::string_view, 6> look_up_words{"hit",        "miss",   "unanswered",
                                                               "remembered", "capped", "away"};

// Learned sessions.
struct LearnedReport {
    std::uint64_t held = 0;     // that are in the table,
    std::uint64_t places = 0;   // which has room for so many,
    std::uint64_t idle = 0;     // for so many seconds after their last use
    std::uint64_t evicted = 0;  // that made room for others
    std::uint64_t dropped = 0;  // for which there was no room
    std::optional<StoreReport> store;
};

struct BalancerReport {
    std::string name;                   // without "balancer://"
    std::string server;                 // the virtual host it belongs to; empty: the main server
    std::vector<std::string> sessions;  // where a session id may stand: "JSESSIONID|jsessionid"
    bool hash = true;                   // LBStickyHash
    Placement placement = Placement::rotation;
    Limits limits;
    std::string cookie;               // the name of its own cookie; empty: it has none
    bool cookie_where_needed = true;  // LBStickyCookie auto
    std::string cookie_attributes;    // "; Path=/; HttpOnly"
    bool has_secret = false;
    std::optional<LearnedReport> learned;  // none: no sessions are
    std::vector<WorkerReport> workers;
    Counts gone;  // of workers that were removed
    PerCount<std::uint64_t> counts;

    // Sums over the workers.
    std::uint64_t weights = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t alive = 0;  // sessions

    // How many of its workers have that status.
    std::uint64_t members_that_are(bool Status::*flag) const noexcept {
        std::uint64_t number = 0;
        for (const WorkerReport& worker : workers) number += worker.status.*flag ? 1 : 0;
        return number;
    }

    // How many of them fail: they are in error, or failed their health check.
    std::uint64_t failing() const noexcept {
        std::uint64_t number = 0;
        for (const WorkerReport& worker : workers) number += worker.status.failing() ? 1 : 0;
        return number;
    }

    // Requests that wanted a worker and could not have it.
    std::uint64_t moved_away() const noexcept {
        std::uint64_t sum = gone.moved_away;
        for (const WorkerReport& worker : workers) sum += worker.counts.moved_away;
        return sum;
    }

    // Requests that were served, by affinity.
    std::array<std::uint64_t, served_affinities> totals() const noexcept {
        auto sums = gone.requests;
        for (const WorkerReport& worker : workers)
            for (std::size_t i = 0; i < served_affinities; ++i) sums[i] += worker.counts.requests[i];
        return sums;
    }

    void add(WorkerReport worker) {
        weights += worker.weight();
        in_flight += worker.in_flight;
        alive += worker.sessions;
        workers.push_back(std::move(worker));
    }
};

}  // namespace lbsticky
