// The workers of a balancer at one moment: who has which route, and who is eligible for what comes without one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/consistent_hash.hpp"
#include "core/name_index.hpp"
#include "core/rotation.hpp"
#include "core/slow_start.hpp"
#include "core/worker.hpp"

namespace lbsticky {

// Built from a reading of all workers, which it never changes; when something did change, another roster is built. All
// that is said to it later is who is due. A worker is known by its index, its place in that reading.
//
// Eligible, that is chosen by rotation or consistent hashing, are (as in httpd's proxy_balancer_get_best_worker): in
// the lowest lbset that has anyone at all, the workers that are usable and not draining; then, in their order, as many
// usable spares as there are workers in that set, neither spare nor standby, that are not; and its usable standbys
// only where this leaves nobody.
//
// One thread at a time: the rotation and the index of route_id() are built when they are first asked for, and
// consistent hashing remembers. Everything else only reads.
class Roster {
public:
    // Costs O(workers); throws std::bad_alloc, std::length_error (over 65,535 workers).
    // Recovering workers start by that rule.
    explicit Roster(std::vector<Worker> workers, SlowStart slow_start = {});

    // The index keeps views into the workers.
    Roster(const Roster&) = delete;
    Roster& operator=(const Roster&) = delete;

    const std::vector<Worker>& workers() const noexcept { return workers_; }

    // The first worker with that route, those that are not standby first. O(1).
    std::optional<std::size_t> find(std::string_view route) const noexcept { return by_route_.find(route); }

    // The worker that clients know by that id. O(1).
    std::optional<std::size_t> find_by_id(std::string_view id) const noexcept { return by_id_.find(id); }

    // The worker whose route_id() has that hash64(), as find() has it. O(1); the first time O(workers), and throws
    // std::bad_alloc.
    std::optional<std::size_t> find_by_hash(std::uint64_t hash) { return route_ids().index.find_hashed(hash); }

    // The next worker that has the same route (a mistake in the configuration, but not ours to judge).
    std::optional<std::size_t> same_route(std::size_t worker) const noexcept {
        const std::size_t next = same_route_[worker];
        if (next == worker) return std::nullopt;
        return next;
    }

    // The order in which eligible workers take turns; its picks are places in eligible(). Built when it is first asked
    // for: throws std::bad_alloc.
    const Rotation& rotation() {
        if (!rotation_) build_rotation();
        return *rotation_;
    }

    // The eligible worker whose turn it is, and the ticket that says so.
    struct Turn {
        std::size_t worker;
        std::uint64_t ticket;
    };

    // Draws a ticket; nothing if nobody is eligible, and no ticket is drawn. O(1). Throws what rotation() does, and
    // draws no ticket then.
    //
    // Of the turns of a recovering worker only that part holds which it is to have at `now`. The others are nobody's:
    // the next ticket is drawn. So the other workers have their turns as ever, exactly as many to each other as their
    // load factors say, and the order need not be built anew for it.
    std::optional<Turn> draw(Tickets& tickets, Milliseconds now);

    // The same, without the ticket.
    std::optional<std::size_t> by_rotation(Tickets& tickets, Milliseconds now) {
        const auto turn = draw(tickets, now);
        if (!turn) return std::nullopt;
        return turn->worker;
    }

    // Whether the worker serves a request that names it: it is usable, or due, and the deadline of its drain is not
    // over.
    bool serves(std::size_t worker) const noexcept {
        return (workers_[worker].usable || is_due(worker)) && !workers_[worker].is_drain_over;
    }

    // Due are workers that are in error, but which the request that is next to choose them may try; the roster itself
    // never changes for it. Other rosters of the same workers have none.
    bool is_due(std::size_t worker) const noexcept { return !due_.empty() && is_in_due(worker); }

    // A due worker that would be eligible if it were not in error: one that a new session may try. O(1).
    std::optional<std::size_t> due_for_new_session() const noexcept {
        if (due_eligible_.empty()) return std::nullopt;
        return due_eligible_.back();
    }

    // Says that a worker is due. O(1), for the first one O(workers). Throws std::bad_alloc.
    void set_due(std::size_t worker);

    // Says that a worker is not due any more; that none is. O(workers).
    void unset_due(std::size_t worker) noexcept;
    void unset_all_due() noexcept;

    // Whether the worker is recovering, and gets less than its share for that: not where all who are eligible are.
    bool is_held_back(std::size_t worker) const noexcept { return holds_back_ && workers_[worker].recovering; }

    // The part of its share of new sessions that the worker is to have, in 2^32ths.
    std::uint64_t part_of_share(std::size_t worker, Milliseconds now) const noexcept {
        return is_held_back(worker) ? slow_start_.part(workers_[worker].in_service_since, now) : SlowStart::whole;
    }

    // Whether the rotation is built.
    bool has_rotation() const noexcept { return rotation_.has_value(); }

    // The eligible worker that holds the key; nothing if nobody is eligible. O(1) once the key was asked for before.
    // Throws std::bad_alloc.
    std::optional<std::size_t> by_hash(std::string_view key);

    // The eligible worker that holds the key among those for which `may(index)` is true; nothing if there is none.
    // O(workers).
    template <typename May>
    std::optional<std::size_t> by_hash_among(std::string_view key, May&& may) const noexcept {
        const auto place = hash_.place_among(key, [&](std::size_t i) { return may(std::size_t{eligible_[i]}); });
        if (!place) return std::nullopt;
        return eligible_[*place];
    }

    // The worker that would hold the key if none were failing: whose the key is. It may be one that cannot serve now.
    // Costs and throws what by_hash() does.
    std::optional<std::size_t> home_of(std::string_view key);

    // Eligible workers, by index.
    const std::vector<std::uint16_t>& eligible() const noexcept { return eligible_; }

    // For each worker how many picks the rotation owes it once `tickets` are drawn, in hundredths; 0 if not eligible.
    // Costs O(cycle), and builds the rotation if nobody did. Throws std::bad_alloc.
    std::vector<int> owed(std::uint64_t tickets);

private:
    // What sessions are remembered by.
    struct RouteIds {
        explicit RouteIds(const Roster& roster);
        RouteIds(const RouteIds&) = delete;  // the index keeps views
        RouteIds& operator=(const RouteIds&) = delete;

        std::vector<std::string> texts;
        NameIndex index;
    };

    RouteIds& route_ids() { return route_ids_ ? *route_ids_ : route_ids_.emplace(*this); }

    // Whom a worker's route and ids name: the first of those that share it.
    std::uint16_t first_of_its_route(std::size_t worker) const noexcept {
        return static_cast<std::uint16_t>(find(workers_[worker].route).value_or(worker));
    }

    void build_rotation();
    bool takes(const Turn& turn, std::uint64_t first, const Tickets& tickets, Milliseconds now) const noexcept;
    bool is_in_due(std::size_t worker) const noexcept { return due_[worker]; }

    std::vector<Worker> workers_;
    SlowStart slow_start_;
    bool holds_back_ = false;  // some of the eligible workers are recovering, and others are not
    NameIndex by_route_;
    NameIndex by_id_;
    std::vector<std::uint16_t> same_route_;  // the next one; its own index at the end
    std::vector<std::uint16_t> eligible_;
    std::optional<Rotation> rotation_;   // once it was asked for
    std::optional<RouteIds> route_ids_;  // likewise
    ConsistentHash hash_;
    // Those who would be eligible if none were failing. Empty where they are the eligible ones.
    std::vector<std::uint16_t> homes_;
    std::vector<bool> is_home_;  // by worker
    ConsistentHash home_hash_;
    std::vector<bool> due_;  // by worker; empty: nobody is
    std::vector<std::uint16_t> due_eligible_;
};

}  // namespace lbsticky
