#include "core/roster.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "core/activity.hpp"
#include "core/route_id.hpp"

namespace lbsticky {
namespace {

// What one lbset has to offer.
struct Set {
    std::vector<std::uint16_t> serving;
    std::vector<std::uint16_t> spares;
    std::vector<std::uint16_t> standbys;
    std::size_t missing = 0;  // neither spare nor standby, and not serving
};

// despite_failures: as if no worker were failing.
std::vector<std::uint16_t> who_is_eligible(const std::vector<Worker>& workers, bool despite_failures) {
    std::map<int, Set> sets;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const Worker& worker = workers[i];
        Set& set = sets[worker.lbset];
        const bool serves = (worker.usable || (despite_failures && worker.failing())) && !worker.draining;
        const auto index = static_cast<std::uint16_t>(i);
        if (worker.spare) {
            if (serves) set.spares.push_back(index);
        } else if (worker.standby) {
            if (serves) set.standbys.push_back(index);
        } else if (serves) {
            set.serving.push_back(index);
        } else {
            ++set.missing;
        }
    }
    for (auto& [number, set] : sets) {
        for (std::size_t i = 0; i < set.spares.size() && i < set.missing; ++i) set.serving.push_back(set.spares[i]);
        if (!set.serving.empty()) return set.serving;
        if (!set.standbys.empty()) return set.standbys;
    }
    return {};
}

std::vector<Worker> at_most_65535(std::vector<Worker> workers) {
    if (workers.size() > UINT16_MAX) throw std::length_error("more than 65,535 workers in one balancer");
    return workers;
}

std::size_t number_of_ids(const std::vector<Worker>& workers) {
    std::size_t number = 0;
    for (const Worker& worker : workers) number += worker.ids.size();
    return number;
}

std::vector<std::uint32_t> factors(const std::vector<Worker>& workers, const std::vector<std::uint16_t>& eligible) {
    std::vector<std::uint32_t> weights;
    weights.reserve(eligible.size());
    for (const auto index : eligible) weights.push_back(workers[index].factor);
    return weights;
}

}  // namespace

Roster::RouteIds::RouteIds(const Roster& roster) : index(roster.workers_.size()) {
    texts.reserve(roster.workers_.size());
    for (std::size_t i = 0; i < roster.workers_.size(); ++i) {
        texts.push_back(route_id(roster.workers_[i].url, roster.workers_[i].route));
        index.add(texts.back(), roster.first_of_its_route(i));
    }
}

Roster::Roster(std::vector<Worker> workers, SlowStart slow_start)
    : workers_(at_most_65535(std::move(workers))),
      slow_start_(slow_start),
      by_route_(workers_.size()),
      by_id_(number_of_ids(workers_)),
      eligible_(who_is_eligible(workers_, false)) {
    const auto recovering = std::count_if(eligible_.begin(), eligible_.end(),
                                          [this](std::uint16_t index) { return workers_[index].recovering; });
    holds_back_ = recovering > 0 && static_cast<std::size_t>(recovering) < eligible_.size();
    for (const auto index : eligible_)
        hash_.add(route_id(workers_[index].url, workers_[index].route), workers_[index].factor);
    if (std::any_of(workers_.begin(), workers_.end(), [](const Worker& worker) { return worker.failing(); })) {
        homes_ = who_is_eligible(workers_, true);
        is_home_.resize(workers_.size());
        for (const auto index : homes_) {
            is_home_[index] = true;
            home_hash_.add(route_id(workers_[index].url, workers_[index].route), workers_[index].factor);
        }
    }

    same_route_.resize(workers_.size());
    std::iota(same_route_.begin(), same_route_.end(), std::uint16_t{0});
    for (const bool standby : {true, false}) {
        for (std::size_t i = workers_.size(); i-- > 0;) {
            if (workers_[i].standby != standby || workers_[i].route.empty()) continue;
            const auto index = static_cast<std::uint16_t>(i);
            same_route_[i] = std::exchange(by_route_.add(workers_[i].route, index), index);
        }
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        for (const std::string& id : workers_[i].ids) by_id_.add(id, first_of_its_route(i));
    }
}

std::optional<Roster::Turn> Roster::draw(Tickets& tickets, Milliseconds now) {
    if (eligible_.empty()) return std::nullopt;
    const Rotation& order = rotation();
    const std::uint64_t first = tickets.draw();
    std::uint64_t ticket = first;
    // In a cycle there is a turn of somebody who is not held back, unless other processes draw it each time.
    for (std::size_t left = order.cycle();; --left) {
        const std::size_t worker = eligible_[order.pick(ticket)];
        if (!is_held_back(worker) || left == 0 || takes({worker, ticket}, first, tickets, now))
            return Turn{worker, ticket};
        ticket = tickets.draw();
    }
}

bool Roster::takes(const Turn& turn, std::uint64_t first, const Tickets& tickets, Milliseconds now) const noexcept {
    Activity* activity = workers_[turn.worker].activity;
    if (!activity) return true;
    Thinning& thinning = activity->thinning(tickets.sequence());
    const std::uint64_t part = part_of_share(turn.worker, now);
    if (!tickets.is_rehearsal()) return thinning.takes(part);
    std::uint32_t turns = 0;
    for (std::uint64_t ticket = first; ticket <= turn.ticket; ++ticket)
        turns += eligible_[rotation_->pick(ticket)] == turn.worker;
    return thinning.would_take(part, turns);
}

std::optional<std::size_t> Roster::by_hash(std::string_view key) {
    const auto place = hash_.place(key);
    if (!place) return std::nullopt;
    return eligible_[*place];
}

std::optional<std::size_t> Roster::home_of(std::string_view key) {
    if (homes_.empty()) return by_hash(key);
    const auto place = home_hash_.place(key);
    if (!place) return std::nullopt;
    return homes_[*place];
}

void Roster::set_due(std::size_t worker) {
    if (is_due(worker)) return;
    if (due_.empty()) due_.resize(workers_.size());
    if (!is_home_.empty() && is_home_[worker]) due_eligible_.push_back(static_cast<std::uint16_t>(worker));
    due_[worker] = true;
}

void Roster::unset_due(std::size_t worker) noexcept {
    if (!is_due(worker)) return;
    due_[worker] = false;
    std::erase(due_eligible_, worker);
    if (std::find(due_.begin(), due_.end(), true) == due_.end()) due_.clear();
}

void Roster::unset_all_due() noexcept {
    due_.clear();
    due_eligible_.clear();
}

void Roster::build_rotation() {
    rotation_.emplace(factors(workers_, eligible_));
}

std::vector<int> Roster::owed(std::uint64_t tickets) {
    const std::vector<int> of_eligible = rotation().owed(tickets);
    std::vector<int> hundredths(workers_.size(), 0);
    for (std::size_t i = 0; i < eligible_.size(); ++i) hundredths[eligible_[i]] = of_eligible[i];
    return hundredths;
}

}  // namespace lbsticky
