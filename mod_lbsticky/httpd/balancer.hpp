// What this module keeps about one balancer in one process.
#pragma once

#include <array>
#include <span>
#include <stdexcept>
#include <string>

#include "core/shared_state.hpp"
#include "httpd/directives.hpp"
#include "httpd/live_roster.hpp"
#include "httpd/shared_memory.hpp"
#include "httpd/worker_ids.hpp"

namespace lbsticky {

struct Balancer {
    // `the_learned`: null if no sessions are learned. It must outlive it, as the memory.
    Balancer(proxy_balancer& the_httpds, const SharedMemory& memory, Settings the_settings,
             LearnedSessions* the_learned)
        : httpds(the_httpds),
          shared(*memory.state),
          tallies(memory.tallies),
          hash_keys(*memory.keys),
          settings(std::move(the_settings)),
          cookie(settings.cookie.value_or(CookieSettings{})),
          cookie_name(cookie.name_for(the_httpds)),
          cookie_end{attributes_text(cookie.attributes, false), attributes_text(cookie.attributes, true)},
          appends(settings.has_line(Keeping::append)),
          learned(the_learned),
          drain(settings.drain.value_or(DrainSettings{})),
          worker_ids(secrets()),
          roster(the_httpds, memory, cookie_name.empty() && !appends ? nullptr : &worker_ids,
                 settings.slow_start.value_or(SlowStart{}), drain.drain) {}

    Balancer(const Balancer&) = delete;
    Balancer& operator=(const Balancer&) = delete;

    proxy_balancer& httpds;                       // what httpd keeps about it
    SharedState& shared;                          // what all processes share about it
    const std::span<WorkerTally* const> tallies;  // likewise, about its workers: see SharedMemory
    const HashKeys& hash_keys;
    const Settings settings;
    const CookieSettings cookie;
    const std::string cookie_name;                // of the balancer's own cookie; empty: it gives none
    const std::array<std::string, 2> cookie_end;  // its attributes, for clients without and with TLS
    const bool appends;                           // routes to session ids
    LearnedSessions* const learned;               // null: none are
    const DrainSettings drain;
    WorkerIds worker_ids;  // needs the balancer's thread mutex
    LiveRoster roster;     // needs the balancer's thread mutex
    bool failing = false;  // the last request could not be decided; needs the balancer's thread mutex

    // The Balancer of one of httpd's balancers. Null only for one that was made after the start.
    static Balancer* of(const proxy_balancer& balancer) noexcept { return static_cast<Balancer*>(balancer.context); }

    bool is_intact() const noexcept { return shared.intact(); }

    // What is counted about one of its workers; null where there is no memory.
    WorkerTally* tally_of(const proxy_worker& worker) const noexcept { return lbsticky::tally_of(worker, tallies); }

    // The names of the session id in requests: those of LBStickySession, else the one that stickysession= has now (it
    // can be changed in balancer-manager). Valid as long as `from_stickysession` and the balancer.
    std::span<const SessionName> session_names(SessionName& from_stickysession) const noexcept {
        if (settings.session_names) return *settings.session_names;
        if (!*httpds.s->sticky) return {};
        from_stickysession = {httpds.s->sticky, httpds.s->sticky_path, ParsingRules::stickysession};
        return {&from_stickysession, 1};
    }

    // What stands before a worker's id in the balancer's own cookie: a token is known by its looks.
    std::string_view cookie_mark() const noexcept { return secrets().empty() ? "." : ""; }

    // Whether clients may have a cookie that was signed with a secret other than the first.
    bool has_older_secrets() const noexcept { return secrets().size() > 1; }

private:
    const std::vector<std::string>& secrets() const noexcept {
        static const std::vector<std::string> none;
        return settings.secrets ? *settings.secrets : none;
    }
};

// Holds a balancer's thread mutex as long as it lives. The constructor throws std::runtime_error if it cannot lock it.
class ThreadLock {
public:
    explicit ThreadLock(proxy_balancer& balancer) : balancer_(balancer) {
        if (PROXY_THREAD_LOCK(&balancer_) != APR_SUCCESS) throw std::runtime_error("its thread mutex cannot be had");
    }
    ~ThreadLock() { PROXY_THREAD_UNLOCK(&balancer_); }
    ThreadLock(const ThreadLock&) = delete;
    ThreadLock& operator=(const ThreadLock&) = delete;

private:
    proxy_balancer& balancer_;
};

// A balancer's roster as it is now, maybe long after the request came. Holds the thread mutex; throws as ThreadLock and
// LiveRoster::current() do.
struct CurrentRoster {
    CurrentRoster(Balancer& own, server_rec* server)
        : lock(own.httpds), roster(own.roster.current(apr_time_now(), server)) {}

    ThreadLock lock;
    const Roster& roster;
};

}  // namespace lbsticky
