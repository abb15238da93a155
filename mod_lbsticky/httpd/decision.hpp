// Who serves a request: the decision table, put to httpd's balancer as it is at this moment.
#pragma once

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
    rules.go_by_time = rules.placement == Placement::sessions || own.settings.slow_start.has_value();
    return rules;
}

// What a request says by those rules, valid as long as the request. `cookies` is all of its Cookie headers together.
// Needs no mutex.
Claims claims_of(request_rec* r, const Rules& rules, std::string_view cookies) noexcept;

// A choice, and the roster that it was made from: valid as long as the balancer's thread mutex is held.
struct Chosen {
    Choice choice;
    const Roster* roster;
};

// What there is to decide.
struct Question {
    Balancer& own;
    const Claims& claims;
    const Rules& rules;
    // The workers that were asked for this request in vain: they are not asked again, unless nobody else can serve and
    // timeout= says to wait.
    std::span<const proxy_worker* const> failed;
    request_rec* r;
};

// Chooses from the workers as they are at this moment. A worker that is due is tried: `trial` is under way then;
// without one nobody is, and nothing comes of the choice but what is drawn from `tickets`. Needs the balancer's thread
// mutex. Throws what std::exception is the base of.
Chosen choose_now(const Question& question, Tickets& tickets, Trial* trial);

// What a choice means for the request: the decision is one that was just made. Needs the mutex, throws as before.
void settle(Decision& decision, const Question& question, const Chosen& chosen);

// Chooses and settles, with a ticket of the balancer's. Needs the mutex, throws as before.
void decide(Decision& decision, Trial& trial, const Question& question);

}  // namespace lbsticky
