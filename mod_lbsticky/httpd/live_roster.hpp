// A roster that is kept true to what httpd's shared memory says of the workers.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/drain.hpp"
#include "core/roster.hpp"
#include "httpd/apache.hpp"
#include "httpd/shared_memory.hpp"
#include "httpd/trial.hpp"
#include "httpd/worker_ids.hpp"

namespace lbsticky {

// One process' reading of the workers of one balancer. httpd changes their state in shared memory without a stamp, so
// a reading is trusted only as far as it was checked:
//
//   - the status of the workers that a choice rests on is read again before the choice counts: still_true();
//   - workers that could not serve are looked at again with each request, a few at a time; whose time in error is over
//     is due then, which is for one request to try;
//   - everything is read again when the shared generation was raised (balancer-manager) or a worker came;
//   - everything is compared once a second, for changes made by other modules.
//
// Every function needs the balancer's thread mutex, as lbmethods have it when mod_proxy_balancer calls them.
class LiveRoster {
public:
    // Reads nothing yet. `ids` says what clients know a worker by; null: they know none. All must outlive it.
    LiveRoster(proxy_balancer& balancer, const SharedMemory& memory, WorkerIds* ids, SlowStart slow_start,
               Drain drain) noexcept;

    // Notes how the workers are that the configuration has: with the server's first start none of them comes into
    // service, with a later one those that others have served without. For the post_config hook.
    void begin() noexcept;

    // The roster to choose from, for a request that came at `now`. O(1) unless something changed; then it costs what
    // read_again() does, with the same server. Throws std::bad_alloc, std::length_error.
    Roster& current(apr_time_t now, server_rec* server);

    // Reads all workers; as httpd's own methods do, it lets those in error try again whose time has come, unless server
    // is null: to look at a worker is no reason to try it. Returns a new roster if anything is different, else the one
    // there was. Throws as current() does.
    Roster& read_again(server_rec* server);

    // Whether the worker chosen and those looked at still have the status that the roster says; all else about them is
    // changed in balancer-manager alone, which says so. Before it looks it lets those in error serve again whose time
    // has come; false also if one of these is to be tried first, and the request may: then it is due. The workers are
    // indexes into the roster. Throws std::bad_alloc.
    bool still_true(const Choice& choice, server_rec* server, bool may_try);

    // Lets a request try a due worker, which is due no more; the trial is not under way if another one tries it.
    Trial try_worker(std::size_t index, request_rec* r) noexcept;

    // For a request that nobody else can serve: workers that are being tried are due for it too. False if there are
    // none. Throws std::bad_alloc.
    bool let_all_try();

    // The current roster with these workers unable to serve; null if they are so already. For the retry of one request:
    // it costs 0.02 ms with 128 members and 1 ms with 4,096, and a rotation only where that decides. Throws as
    // current() does.
    std::unique_ptr<Roster> without(std::span<const proxy_worker* const> workers) const;

    // httpd's worker at an index of the roster.
    proxy_worker* worker(std::size_t index) const noexcept { return workers_[index]; }

private:
    bool somebody_may_be_back();
    void let_back(proxy_worker& worker, server_rec* server) const noexcept;
    Comeback comeback(proxy_worker& worker, Activity* activity) const noexcept;
    bool may_be_tried(std::size_t index);
    Worker read(const proxy_worker& worker, Milliseconds now, unsigned& status);
    Activity* activity_of(std::size_t slot, std::string_view url) const noexcept;
    void note(const proxy_worker& worker, Activity* activity) const noexcept;
    void count_shares_anew() const noexcept;
    Milliseconds recovering_since(const Activity* activity, Milliseconds now) const noexcept;
    bool is_drain_over(const Activity* activity, Milliseconds now) const noexcept;
    bool is_of_age(const Worker& reading, Milliseconds now) const noexcept;

    static constexpr Milliseconds always = UINT64_MAX;

    proxy_balancer& balancer_;
    SharedState& shared_;
    std::span<Activity* const> activities_;
    std::span<WorkerTally* const> tallies_;
    WorkerIds* ids_;
    SlowStart slow_start_;
    Drain drain_;
    std::uint16_t start_;  // starts of the server before this one
    std::unique_ptr<Roster> roster_;
    std::vector<proxy_worker*> workers_;       // by index of the roster: in the order of their slots
    std::vector<unsigned> statuses_;           // their deciding bits as the roster was built from them
    std::vector<proxy_worker*> reading_;       // kept for its memory: to find that nothing has changed takes none
    std::vector<std::size_t> out_of_service_;  // those that cannot serve, and those that are draining
    std::size_t next_to_look_at_ = 0;          // in out_of_service_
    std::uint64_t generation_ = 0;
    apr_time_t compared_ = 0;
    Milliseconds holds_until_ = always;  // when somebody has recovered, or a deadline is over
};

}  // namespace lbsticky
