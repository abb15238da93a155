#include "httpd/outcome.hpp"

#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/hash64.hpp"
#include "core/masked_url.hpp"
#include "core/session.hpp"
#include "httpd/guard.hpp"

extern "C" {
#include "apr_strings.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

const char* pooled(std::string_view text, apr_pool_t* pool) noexcept {
    return apr_pstrmemdup(pool, text.data(), text.size());
}

// Sets what mod_proxy_balancer sets where it resolves stickysession= itself, and the affinity.
void set_variables(const Decision& decision, request_rec* r, bool again) noexcept {
    // What is not there already need not be looked for. A subrequest has inherited the variables of its request.
    const bool may_be_there = again || r->main;
    const auto set = [&](apr_table_t* table, const char* name, const char* value) {
        may_be_there ? apr_table_setn(table, name, value) : apr_table_addn(table, name, value);
    };
    set(r->subprocess_env, "BALANCER_AFFINITY", word_for(decision.affinity));
    if (!decision.has_names) return;
    const Session& session = decision.session;
    if (!session.route.empty()) {
        const char* name = pooled(session.name, r->pool);
        const char* route = pooled(session.route, r->pool);
        set(r->notes, "session-sticky", name);
        set(r->notes, "session-route", route);
        set(r->subprocess_env, "BALANCER_SESSION_STICKY", name);
        set(r->subprocess_env, "BALANCER_SESSION_ROUTE", route);
    } else if (r->main) {
        apr_table_unset(r->subprocess_env, "BALANCER_SESSION_STICKY");
        apr_table_unset(r->subprocess_env, "BALANCER_SESSION_ROUTE");
    }
    const bool stays = decision.affinity == Affinity::route || decision.affinity == Affinity::cookie ||
                       decision.affinity == Affinity::learned || decision.affinity == Affinity::overload;
    if (decision.worker && !stays)
        set(r->subprocess_env, "BALANCER_ROUTE_CHANGED", "1");
    else if (may_be_there)
        apr_table_unset(r->subprocess_env, "BALANCER_ROUTE_CHANGED");
}

// What identifies the request, or what was looked for in vain.
std::string identity(const Decision& decision) {
    const Session& session = decision.session;
    const std::string_view route = session.route;
    if (session.exists()) {
        const std::string value = std::string(session.name) + "=" + shortened(session.value);
        if (session.worker || route.empty()) return "session " + value;
        // A route that nobody has may be a piece of the id.
        return "route " + (decision.nearly_known ? std::string(route) : shortened(route)) + " of " + value +
               " is no member's";
    }
    std::string missing;
    const auto add = [&](const std::string& what) { missing += (missing.empty() ? " (" : ", ") + what; };
    SessionName from_stickysession;
    for (const SessionName& name : decision.balancer->session_names(from_stickysession)) add("no " + text_of(name));
    const std::string& cookie = decision.balancer->cookie_name;
    if (!cookie.empty() && !decision.has_cookie) add("no cookie " + cookie);
    if (decision.unknown_cookie) add("cookie " + cookie + " names no member");
    if (decision.has_cookie && !decision.unknown_cookie) return "no session";
    return "no session" + (missing.empty() ? missing : missing + ")");
}

std::string member(const Decision& decision) {
    if (!decision.worker) return "no member";
    std::string text = "member " + masked_url(url_of(*decision.worker->s));
    if (decision.other) text += " rather than " + masked_url(url_of(*decision.other->s));
    return text;
}

// What decided, where the affinity alone does not tell.
const char* reason(const Decision& decision) noexcept {
    if (decision.is_drain_over) return " (drain deadline)";
    if (decision.is_session_over) return " (session over)";
    return "";
}

// One line a choice: what an administrator looks at who asks why a request went where it went.
void log_line(const Decision& decision, request_rec* r) {
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "%s: affinity %s%s, %s, %s", decision.balancer->httpds.s->name,
                  word_for(decision.affinity), reason(decision), identity(decision).c_str(), member(decision).c_str());
}

std::uint64_t keyed_hash(const HashKeys& keys, std::string_view text) noexcept {
    return XXH3_64bits_withSecret(text.data(), text.size(), keys.counted.data(), keys.counted.size());
}

// What tells a session from others, in all bits: its id, else whose client it is.
std::uint64_t session_hash(const Decision& decision, const request_rec* r) noexcept {
    const auto keyed = [&decision](std::string_view text) { return keyed_hash(decision.balancer->hash_keys, text); };
    if (!decision.session.id.empty()) return keyed(decision.session.id);
    return keyed(view(r->useragent_ip)) ^ mix64(keyed(view(apr_table_get(r->headers_in, "User-Agent"))));
}

// Notes that the session of a request is alive on the worker that serves it.
void note_session(const Decision& decision, Activity& activity, const request_rec* r) noexcept {
    const Milliseconds now = steady_now();
    const bool is_new = activity.session_seen(session_hash(decision, r), seconds(now));
    Activity* home = is_sticky(decision.affinity) ? &activity : decision.home_activity;
    if (home) home->sticky_seen(now);
    // A client that has no session yet, and asks again and again, is one.
    if (is_new && decision.affinity == Affinity::fresh && decision.begins_session) activity.session_placed();
}

// Tells once a start that no request has a session id where one is looked for.
void watch_for_sessions(const Decision& decision, const request_rec* r, std::string_view cookies) {
    // Some hundred requests; then as many again that may bring a cookie of a like name.
    constexpr std::uint32_t some = 300;
    constexpr std::uint32_t enough = 600;
    Notices& notices = decision.balancer->shared.notices;
    if (decision.session.exists()) return notices.session_seen();
    const std::uint32_t without = notices.without_session(enough);
    if (without < some) return;

    std::string names, like;
    SessionName from_stickysession;
    for (const SessionName& name : decision.balancer->session_names(from_stickysession)) {
        names += (names.empty() ? "" : ", ") + text_of(name);
        if (like.empty() && name.where == Where::cookie_or_url) like = find_like_cookie(cookies, name.cookie);
    }
    if ((like.empty() && without < enough) || !notices.is_first_told_of_absence()) return;
    if (!like.empty()) like = "; but there is a cookie " + like;
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                  "%s: none of %u requests had the session id that is looked for, %s%s: nothing is sticky by it",
                  decision.balancer->httpds.s->name, without, names.c_str(), like.c_str());
}

}  // namespace

void note_given_session(const Decision& decision, std::string_view id) noexcept {
    if (decision.activity->session_seen(keyed_hash(decision.balancer->hash_keys, id), seconds(steady_now())))
        decision.activity->session_placed();
}

void note_end(const Decision& decision) noexcept {
    if (!decision.worker || !decision.activity || !(decision.worker->s->status & PROXY_WORKER_DRAIN)) return;
    decision.activity->sticky_seen(steady_now());
}

Tally make_known(const Decision& decision, request_rec* r, std::string_view cookies, bool again) noexcept {
    // What is told to people needs memory; without it the request is served all the same.
    const auto tell = [](auto&& what) { guarded(what, [](const char*) {}); };
    set_variables(decision, r, again);

    SharedState& shared = decision.balancer->shared;
    const auto tally_of = [&decision](const proxy_worker* worker) {
        return worker ? decision.balancer->tally_of(*worker) : nullptr;
    };
    WorkerTally* chosen = tally_of(decision.worker);
    WorkerTally* wanted = tally_of(decision.moved_from);
    if (decision.activity) note_session(decision, *decision.activity, r);
    if (!again) {
        if (decision.unknown_route())
            (chosen ? chosen->unknown_routes : shared.counts[Count::unknown_routes])
                .fetch_add(1, std::memory_order_relaxed);
        if (decision.unknown_cookie) shared.counts[Count::cookies_unknown].fetch_add(1, std::memory_order_relaxed);
        if (decision.outdated_cookie || decision.outdated_route)
            shared.counts[Count::cookies_outdated].fetch_add(1, std::memory_order_relaxed);
        if (decision.has_names) tell([&] { watch_for_sessions(decision, r, cookies); });
    }
    if (APLOG_R_IS_LEVEL(r, APLOG_DEBUG)) tell([&] { log_line(decision, r); });

    Tally tally;
    if (chosen) tally.served = &chosen->of(decision.affinity);
    if (decision.affinity == Affinity::refused) tally.served = &shared.counts[Count::refused];
    if (wanted) tally.moved = &wanted->moved_away;
    return tally;
}

}  // namespace lbsticky
