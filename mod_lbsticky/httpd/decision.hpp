// Who serves a request: the decision table, put to httpd's balancer as it is at this moment.
#pragma once

#include <atomic>
#include <optional>
#include <span>

#include "core/affinity.hpp"
#include "httpd/apache.hpp"
#include "httpd/balancer.hpp"

namespace lbsticky {

// What was decided for a request. Its views and pointers are valid as long as the request.
struct Decision {
    Balancer* balancer = nullptr;
    proxy_worker* worker = nullptr;  // nobody: 503
    Affinity affinity = Affinity::fresh;
    Session session;
    Activity* activity = nullptr;        // of the worker; null: nobody knows it
    Activity* home_activity = nullptr;   // of the worker whose session is served elsewhere for this request (overload)
    proxy_worker* moved_from = nullptr;  // whom the request wanted and could not have
    proxy_worker* other = nullptr;       // whom the worker was preferred to, by their load
    const char* cookie = nullptr;  // the value of the balancer's own cookie that the client lacks; null: it lacks none
    // What is appended to ids that the worker gives; null: nothing. Where the session is only served elsewhere for this
    // request (overload), its own id gets the route of its home.
    const char* id = nullptr;
    const char* home_id = nullptr;
    bool is_kept = false;          // the session id alone brings the session back: its route, or what is remembered
    bool is_learned = false;       // it is remembered where the session is
    bool has_names = false;        // a session id was looked for
    bool has_cookie = false;       // the request has the balancer's own cookie,
    bool unknown_cookie = false;   // which names nobody,
    bool outdated_cookie = false;  // or names somebody by another than the first secret
    bool outdated_route = false;   // so does what was appended to the session id
    bool is_drain_over = false;    // that of moved_from: it would have served otherwise
    bool is_session_over = false;  // the cookie names a member that drains, and there is no session id
    bool nearly_known = false;     // its route is a worker's but for case or a character or two; only for the log
    bool begins_session = false;   // it may be the first of a session
    Trial trial;                   // of the worker, if it is due; under way only then
    bool handed_out = false;       // mod_proxy_balancer has been given the worker

    bool unknown_route() const noexcept { return session.exists() && !session.worker && !is_learned; }
};

// What holds for the requests of a balancer now: parts of it can be changed in balancer-manager. Valid as long as
// `from_stickysession` and the balancer.
inline Rules rules_of(const Balancer& own, SessionName& from_stickysession) noexcept {
    Rules rules;
    rules.names = own.session_names(from_stickysession);
    rules.separator = own.httpds.s->sticky_separator;
    rules.nofailover = own.httpds.s->sticky_force;
    rules.hash = own.settings.hash_or_default();
    rules.cookie_name = own.cookie_name;
    rules.has_secret = own.settings.secrets.has_value();
    rules.placement = own.settings.placement_or_default();
    rules.limits = own.settings.limits_or_default();
    return rules;
}

// What a request says by those rules, valid as long as the request. `cookies` is all of its Cookie headers together.
// Needs no mutex.
Claims claims_of(request_rec* r, const Rules& rules, std::string_view cookies) noexcept;

// A decision that nothing comes of: it draws no ticket, counts nothing, tries no worker. What it was made from is kept.
struct Rehearsal {
    explicit Rehearsal(Balancer& own) noexcept : tickets(own.shared.tickets().load(std::memory_order_relaxed)) {}

    std::atomic<std::uint64_t> tickets;  // a copy, which is drawn from instead
    std::optional<Choice> choice;
    const Roster* roster = nullptr;  // valid as long as the balancer's thread mutex is held
};

// Decides; the decision is one that was just made. `failed` are the workers that were asked for this request in vain:
// they are not asked again, unless nobody else can serve and timeout= says to wait. Needs the balancer's thread mutex.
// Throws what std::exception is the base of.
void decide(Decision& decision, Balancer& own, const Claims& claims, const Rules& rules,
            std::span<const proxy_worker* const> failed, request_rec* r, Rehearsal* rehearsal = nullptr);

}  // namespace lbsticky
