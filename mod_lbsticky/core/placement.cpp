#include "core/placement.hpp"

#include <algorithm>

#include "core/activity.hpp"

namespace lbsticky {
namespace {

// So much of something for so much of a load factor.
struct Load {
    std::uint64_t amount;
    std::uint64_t factor;

    bool operator<(const Load& other) const noexcept { return amount * other.factor < other.amount * factor; }
};

Load busyness(const Worker& worker) noexcept {
    return {worker.activity ? worker.activity->in_flight() : 0U, worker.factor};
}

Load load(Placement by, const Worker& worker, std::uint32_t now) noexcept {
    if (by != Placement::sessions) return busyness(worker);
    if (!worker.activity) return {0, worker.factor};
    // A request in flight may be that of a session which nobody has counted: without it a worker that answers nobody
    // would seem to have ever fewer.
    return {std::uint64_t{worker.activity->sessions_and_placed(now)} + worker.activity->in_flight(), worker.factor};
}

}  // namespace

bool is_full(const Worker& worker, std::uint32_t limit) noexcept {
    constexpr std::uint64_t one = 100;  // factors are in hundredths
    return limit != 0 && worker.activity && worker.activity->in_flight() * one >= std::uint64_t{limit} * worker.factor;
}

bool is_less_busy(const Worker& one, const Worker& other) noexcept {
    return busyness(one) < busyness(other);
}

Placed place_by_load(Placement by, std::uint32_t limit, Roster& roster, Tickets& tickets, Milliseconds now) {
    const auto turn = roster.draw(tickets, now);
    if (!turn) return {};
    const auto& eligible = roster.eligible();
    const Rotation& rotation = roster.rotation();
    const std::uint64_t ticket = turn->ticket;
    const auto second = static_cast<std::uint32_t>(now / 1000);

    const auto& workers = roster.workers();
    struct Candidate {
        std::size_t worker;
        bool full;
        Load load;
    };
    const auto look_at = [&](std::size_t index) {
        const bool full = is_full(workers[index], limit);
        return Candidate{index, full, load(full ? Placement::busyness : by, workers[index], second)};
    };
    const auto is_better = [](const Candidate& one, const Candidate& other) {
        return one.full == other.full ? one.load < other.load : other.full;
    };
    const auto is_best = [by](const Candidate& one) {
        return !one.full && (by == Placement::rotation || one.load.amount == 0);
    };

    Candidate best = look_at(turn->worker);
    std::optional<std::size_t> other;
    const auto consider = [&](std::size_t index) {
        const Candidate candidate = look_at(index);
        other = index;
        if (!is_better(candidate, best)) return;
        other = best.worker;
        best = candidate;
    };
    std::array<std::size_t, max_candidates> seen{best.worker};
    std::size_t count = 1;
    const std::size_t enough = std::min(max_candidates, eligible.size());
    for (std::uint64_t next = 1; next < max_turns && count < enough && !is_best(best); ++next) {
        const std::size_t index = eligible[rotation.pick(ticket + next)];
        if (roster.is_held_back(index)) continue;

        if (std::find(seen.begin(), seen.begin() + count, index) != seen.begin() + count) continue;
        seen[count++] = index;
        consider(index);
    }
    for (std::size_t i = 0; i < eligible.size() && best.full; ++i) {
        const std::size_t index = eligible[static_cast<std::size_t>((ticket + i) % eligible.size())];
        if (index != best.worker) consider(index);
    }
    return {best.worker, other};
}

}  // namespace lbsticky
