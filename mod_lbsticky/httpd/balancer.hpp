// What this module keeps about one balancer in one process.
#pragma once

#include "core/shared_state.hpp"
#include "httpd/directives.hpp"
#include "httpd/live_roster.hpp"

namespace lbsticky {

struct Balancer {
    Balancer(proxy_balancer& the_httpds, SharedState& shared_state, Settings the_settings)
        : httpds(the_httpds), shared(shared_state), settings(std::move(the_settings)), roster(the_httpds, shared) {}

    const proxy_balancer& httpds;
    SharedState& shared;
    const Settings settings;
    LiveRoster roster;        // needs the balancer's thread mutex
    bool failing = false;     // the last request could not be decided; needs the balancer's thread mutex
    const Roster nobody{{}};  // for reading a session id where nobody's routes are asked for

    // The one of httpd's balancer; null if there is none, which is so only for a balancer made after the start.
    static Balancer* of(const proxy_balancer& balancer) noexcept { return static_cast<Balancer*>(balancer.context); }

    bool is_intact() const noexcept { return shared.intact(static_cast<std::size_t>(httpds.max_workers)); }

    // Where the session id of its requests stands: LBStickySession, else what stickysession= says now (it can be
    // changed in balancer-manager). Valid as long as `from_stickysession` and the balancer.
    std::span<const SessionName> session_names(SessionName& from_stickysession) const noexcept {
        if (settings.session_names) return *settings.session_names;
        if (!*httpds.s->sticky) return {};
        from_stickysession = {httpds.s->sticky, httpds.s->sticky_path};
        return {&from_stickysession, 1};
    }
};

}  // namespace lbsticky
