#include "httpd/live_roster.hpp"

#include <algorithm>
#include <cstring>

#include "httpd/mod_proxy_functions.hpp"

namespace lbsticky {
namespace {

// How often this server was started, before this time: a graceful restart is a start.
std::uint16_t starts_before() noexcept {
    int generation = 0;
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    return static_cast<std::uint16_t>(generation);
}

// With no more members out of service, each request sees at once that one can serve again. Any number would do that is
// small beside the cost of a request.
constexpr std::size_t looked_at_per_request = 8;

// Everything is compared after a second: a change by another module is noticed that soon. A request that is older than
// the last comparison is no reason, since requests do not come in order; unless it is so much older that the clock was
// set back.
constexpr apr_time_t compared_after = apr_time_from_sec(1);
constexpr apr_time_t set_back = apr_time_from_sec(60);

// What of a worker's status says for what it may be chosen, when it may be tried again, and what is shown of it. A
// worker that cannot serve for another reason than before counts as changed: that is rare, and costs one roster more.
constexpr unsigned deciding = PROXY_WORKER_INITIALIZED | PROXY_WORKER_NOT_USABLE_BITMAP | PROXY_WORKER_DRAIN |
                              PROXY_WORKER_HOT_SPARE | PROXY_WORKER_HOT_STANDBY | PROXY_WORKER_IGNORE_ERRORS;

// As httpd has it. By the compilers' own function: libc++ has std::atomic_ref from version 19 on.
unsigned bits_of(const proxy_worker& worker) noexcept {
    return __atomic_load_n(&worker.s->status, __ATOMIC_ACQUIRE) & deciding;
}

// As it is to everybody but the one request that tries it. A trial begins before the error is taken away, and ends
// after it is there again: so it is looked for before the bits and behind them.
unsigned status_of(const proxy_worker& worker, const Activity* activity) noexcept {
    const bool is_tried = activity && activity->probe().is_under_way();
    const unsigned bits = bits_of(worker);
    return is_tried || (activity && activity->probe().is_under_way()) ? bits | PROXY_WORKER_IN_ERROR : bits;
}

Status status_in(unsigned bits) noexcept {
    const auto has = [bits](unsigned some) { return (bits & some) != 0; };
    Status status;
    status.usable = has(PROXY_WORKER_INITIALIZED) && !has(PROXY_WORKER_NOT_USABLE_BITMAP);
    status.draining = has(PROXY_WORKER_DRAIN);
    status.disabled = has(PROXY_WORKER_DISABLED);
    status.stopped = has(PROXY_WORKER_STOPPED);
    status.in_error = has(PROXY_WORKER_IN_ERROR);
    status.unhealthy = has(PROXY_WORKER_HC_FAIL);
    status.standby = has(PROXY_WORKER_HOT_STANDBY);
    status.spare = has(PROXY_WORKER_HOT_SPARE);
    return status;
}

Worker reading_of(const proxy_worker& worker, unsigned status) {
    Worker reading;
    static_cast<Status&>(reading) = status_in(status);
    reading.url = url_of(*worker.s);
    reading.route = worker.s->route;
    reading.redirect = worker.s->redirect;
    reading.factor = static_cast<std::uint32_t>(std::max(worker.s->lbfactor, 1));
    reading.lbset = worker.s->lbset;
    return reading;
}

// Whether the worker still has the set, load factor, route and redirect of that reading: what balancer-manager can
// change beside its status. Makes no strings.
bool still_reads(const proxy_worker& worker, const Worker& reading) noexcept {
    return worker.s->lbset == reading.lbset &&
           static_cast<std::uint32_t>(std::max(worker.s->lbfactor, 1)) == reading.factor &&
           reading.route == worker.s->route && reading.redirect == worker.s->redirect;
}

bool by_slot(const proxy_worker* a, const proxy_worker* b) noexcept {
    if (a->s->index != b->s->index) return a->s->index < b->s->index;
    return std::strcmp(a->s->name, b->s->name) < 0;
}

}  // namespace

LiveRoster::LiveRoster(proxy_balancer& balancer, const SharedMemory& memory, WorkerIds* ids, SlowStart slow_start,
                       Drain drain) noexcept
    : balancer_(balancer),
      shared_(*memory.state),
      activities_(memory.activities),
      tallies_(memory.tallies),
      ids_(ids),
      slow_start_(slow_start),
      drain_(drain),
      start_(starts_before()) {}

Roster& LiveRoster::current(apr_time_t now, server_rec* server) {
    const bool current = roster_ && generation_ == shared_.generation.load(std::memory_order_acquire) &&
                         workers_.size() == static_cast<std::size_t>(balancer_.workers->nelts) &&
                         (holds_until_ == always || steady_now() < holds_until_) && now - compared_ < compared_after &&
                         compared_ - now < set_back && (out_of_service_.empty() || !somebody_may_be_back());
    if (current) return *roster_;
    compared_ = now;
    return read_again(server);
}

Roster& LiveRoster::read_again(server_rec* server) {
    // Before anything is read: what changes from here on raises it again.
    const std::uint64_t generation = shared_.generation.load(std::memory_order_acquire);

    // Processes may have learned of added members in different orders: that of the slots is the same for all.
    std::vector<proxy_worker*>& workers = reading_;
    workers.clear();
    workers.reserve(static_cast<std::size_t>(balancer_.workers->nelts));
    for (int i = 0; i < balancer_.workers->nelts; ++i)
        workers.push_back(APR_ARRAY_IDX(balancer_.workers, i, proxy_worker*));
    std::sort(workers.begin(), workers.end(), by_slot);

    const Milliseconds now = steady_now();
    bool same = roster_ && workers == workers_;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const unsigned bits = bits_of(*workers[i]);
        if (server && (bits & PROXY_WORKER_IN_ERROR) && !(bits & PROXY_WORKER_DRAIN)) let_back(*workers[i], server);
        if (!same) continue;
        const Worker& reading = roster_->workers()[i];
        same = status_of(*workers[i], reading.activity) == statuses_[i] && still_reads(*workers[i], reading) &&
               is_of_age(reading, now);
    }
    if (!same) {
        std::vector<Worker> readings;
        readings.reserve(workers.size());
        std::vector<unsigned> statuses;
        statuses.reserve(workers.size());
        std::vector<std::size_t> out_of_service;
        holds_until_ = always;
        for (std::size_t i = 0; i < workers.size(); ++i) {
            readings.push_back(read(*workers[i], now, statuses.emplace_back()));
            if (!readings.back().usable || readings.back().draining) out_of_service.push_back(i);
        }
        roster_ = std::make_unique<Roster>(std::move(readings), slow_start_);
        workers_.swap(workers);
        statuses_ = std::move(statuses);
        out_of_service_ = std::move(out_of_service);
        next_to_look_at_ = 0;
        workers.reserve(workers_.size());
    }
    count_shares_anew();
    generation_ = generation;
    if (server)
        for (const std::size_t index : out_of_service_)
            if (!(bits_of(*workers_[index]) & PROXY_WORKER_DRAIN)) may_be_tried(index);
    return *roster_;
}

// A worker as it is, and the bits of its status that decide.
Worker LiveRoster::read(const proxy_worker& worker, Milliseconds now, unsigned& status) {
    const std::string_view url = url_of(*worker.s);
    if (WorkerTally* tally = tally_of(worker, tallies_)) tally->owner.claim(url);
    Activity* activity = activity_of(static_cast<std::size_t>(worker.s->index), url);
    status = status_of(worker, activity);
    Worker reading = reading_of(worker, status);
    reading.activity = activity;
    note(worker, activity);
    if (const Milliseconds since = recovering_since(activity, now)) {
        reading.recovering = true;
        reading.in_service_since = since;
        holds_until_ = std::min(holds_until_, since + slow_start_.duration);
    }
    // That it is draining may be noted a moment later, or not any more by a process of the start before.
    const Milliseconds draining_since = activity ? activity->life().draining_since() : 0;
    if (drain_.deadline > 0 && reading.draining && draining_since > 0) {
        reading.is_drain_over = is_drain_over(activity, now);
        if (!reading.is_drain_over) holds_until_ = std::min(holds_until_, drain_.over_at(draining_since));
    }
    if (ids_) reading.ids = ids_->of(reading);
    return reading;
}

void LiveRoster::begin() noexcept {
    const Milliseconds now = steady_now();
    for (int i = 0; i < balancer_.workers->nelts; ++i) {
        const proxy_worker& worker = *APR_ARRAY_IDX(balancer_.workers, i, proxy_worker*);
        Activity* activity = activity_of(static_cast<std::size_t>(worker.s->index), url_of(*worker.s));
        // Children initialize workers.
        const Status status = status_in(bits_of(worker) | PROXY_WORKER_INITIALIZED);
        if (!activity) continue;
        activity->life().begin(status, start_, now, start_ == 0 ? 0 : now);
        activity->probe().forget();
    }
}

// The one place where a change of a worker's status is noticed, whoever changed it.
void LiveRoster::note(const proxy_worker& worker, Activity* activity) const noexcept {
    if (!activity) return;
    activity->life().see([&] { return status_in(status_of(worker, activity)); }, start_, steady_now());
}

// The share of new sessions of a worker counts since it is what it is, which some process has noted, maybe for a copy
// of this balancer.
void LiveRoster::count_shares_anew() const noexcept {
    std::optional<std::uint64_t> all_fresh;  // added up if somebody needs it
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        const Activity* activity = roster_->workers()[i].activity;
        WorkerTally* tally = tally_of(*workers_[i], tallies_);
        if (!activity || !tally) continue;
        const Milliseconds since = activity->life().since();
        if (tally->since.load(std::memory_order_relaxed) == since) continue;
        if (!all_fresh) all_fresh = shared_.all_fresh(tallies_);
        tally->count_from(since, *all_fresh);
    }
}

// 0: it is not recovering.
Milliseconds LiveRoster::recovering_since(const Activity* activity, Milliseconds now) const noexcept {
    if (slow_start_.duration == 0 || !activity) return 0;
    const Milliseconds since = activity->life().in_service_since();
    return now < since + slow_start_.duration ? since : 0;
}

bool LiveRoster::is_drain_over(const Activity* activity, Milliseconds now) const noexcept {
    return drain_.deadline > 0 && activity && drain_.is_over(activity->life().draining_since(), now);
}

// Whether what time makes of the worker is still as it was read.
bool LiveRoster::is_of_age(const Worker& reading, Milliseconds now) const noexcept {
    return reading.in_service_since == recovering_since(reading.activity, now) &&
           reading.is_drain_over == is_drain_over(reading.activity, now);
}

Activity* LiveRoster::activity_of(std::size_t slot, std::string_view url) const noexcept {
    if (slot < activities_.size() && activities_[slot] && activities_[slot]->owner().claim(url))
        return activities_[slot];
    // Copies of a balancer may have given the slot to a worker each: all processes look for another in the same order.
    for (std::size_t i = activities_.size(); i-- > 0;)
        if (activities_[i] && activities_[i]->owner().claim(url)) return activities_[i];
    return nullptr;
}

void LiveRoster::let_back(proxy_worker& worker, server_rec* server) const noexcept {
    Activity* activity = activity_of(static_cast<std::size_t>(worker.s->index), url_of(*worker.s));
    if (comeback(worker, activity) == Comeback::whole) mod_proxy.retry_worker("BALANCER", &worker, server);
}

// How it may come back, once a trial that is overdue has been ended.
Comeback LiveRoster::comeback(proxy_worker& worker, Activity* activity) const noexcept {
    if (activity) end_overdue_trial(worker, *activity, start_);
    return comeback_of(worker, activity);
}

bool LiveRoster::may_be_tried(std::size_t index) {
    if (comeback(*workers_[index], roster_->workers()[index].activity) != Comeback::by_one) return false;
    roster_->set_due(index);
    return true;
}

Trial LiveRoster::try_worker(std::size_t index, request_rec* r) noexcept {
    roster_->unset_due(index);
    return {balancer_, *workers_[index], *roster_->workers()[index].activity, start_, r};
}

bool LiveRoster::let_all_try() {
    bool any = false;
    for (const std::size_t index : out_of_service_) {
        const Activity* activity = roster_->workers()[index].activity;
        const Status status = status_in(bits_of(*workers_[index]));
        if (!activity || !activity->probe().is_under_way() || !status.usable || status.draining) continue;
        roster_->set_due(index);
        any = true;
    }
    return any;
}

bool LiveRoster::still_true(const Choice& choice, server_rec* server, bool may_try) {
    const auto check = [&](std::size_t index) {
        Activity* activity = roster_->workers()[index].activity;
        unsigned status = status_of(*workers_[index], activity);
        if (status & PROXY_WORKER_IN_ERROR) {
            let_back(*workers_[index], server);
            if (may_try && !roster_->is_due(index) && may_be_tried(index)) return false;
            status = status_of(*workers_[index], activity);
        }
        return status == statuses_[index];
    };
    const auto looked_at = choice.looked_at();
    for (const std::uint16_t index : looked_at)
        if (!check(index)) return false;
    // The last one looked at is the one chosen, if its own session chose it.
    return !choice.worker || (!looked_at.empty() && looked_at.back() == *choice.worker) || check(*choice.worker);
}

std::unique_ptr<Roster> LiveRoster::without(std::span<const proxy_worker* const> workers) const {
    std::vector<Worker> readings = roster_->workers();
    bool different = false;
    for (std::size_t i = 0; i < readings.size(); ++i) {
        if (!readings[i].usable || std::find(workers.begin(), workers.end(), workers_[i]) == workers.end()) continue;
        readings[i].usable = false;
        readings[i].in_error = true;
        different = true;
    }
    return different ? std::make_unique<Roster>(std::move(readings), slow_start_) : nullptr;
}

bool LiveRoster::somebody_may_be_back() {
    for (std::size_t looks = std::min(looked_at_per_request, out_of_service_.size()); looks > 0; --looks) {
        const std::size_t index = out_of_service_[next_to_look_at_];
        next_to_look_at_ = (next_to_look_at_ + 1) % out_of_service_.size();

        proxy_worker& worker = *workers_[index];
        Activity* activity = roster_->workers()[index].activity;
        if (status_of(worker, activity) != statuses_[index]) return true;
        if (bits_of(worker) & PROXY_WORKER_DRAIN) continue;
        switch (comeback(worker, activity)) {
            case Comeback::none: break;
            case Comeback::whole: return true;
            case Comeback::by_one: roster_->set_due(index); break;
        }
    }
    return false;
}

}  // namespace lbsticky
