#include "httpd/exchange.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "core/masked_url.hpp"
#include "core/set_cookie.hpp"
#include "httpd/guard.hpp"
#include "httpd/headers.hpp"
#include "httpd/outcome.hpp"

extern "C" {
#include "apr_date.h"
#include "apr_strings.h"
#include "util_filter.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Registered once, before any request.
ap_filter_rec_t* restoring_filter = nullptr;
ap_filter_rec_t* answering_filter = nullptr;

bool is_tls(const request_rec* r) noexcept {
    return std::strcmp(ap_http_scheme(r), "https") == 0;
}

// A request whose response may be a 101. One that waits for a 100 (Continue) first is left out: that would carry the
// cookie too.
bool offers_to_upgrade(const request_rec* r) noexcept {
    return apr_table_get(r->headers_in, "Upgrade") && !apr_table_get(r->headers_in, "Expect");
}

// The path that the client asked for, by which browsers choose cookies: not that of an ErrorDocument.
std::string_view path_of_client(const request_rec* r) noexcept {
    while (r->prev) r = r->prev;
    return r->parsed_uri.path ? r->parsed_uri.path : "/";
}

// Where a response's headers may be: some of mod_proxy's modules put them where httpd keeps those that errors have too
// (mod_proxy_fcgi).
std::array<apr_table_t**, 2> header_tables(request_rec* r) noexcept {
    return {&r->headers_out, &r->err_headers_out};
}

// Whether browsers forget the cookie when they are given it.
bool is_deletion(const GivenCookie& cookie, apr_pool_t* pool) noexcept {
    if (cookie.value.empty()) return true;
    if (cookie.is_over) return *cookie.is_over;
    if (cookie.expires.empty()) return false;
    // The date that most deletions have is 0 in APR's clock, which is also its answer to what is no date, and to what
    // was before.
    if (is_of_1970_or_before(cookie.expires)) return true;
    const apr_time_t date = apr_date_parse_rfc(apr_pstrmemdup(pool, cookie.expires.data(), cookie.expires.size()));
    return date != APR_DATE_BAD && date <= apr_time_now();
}

// The session id that a response header gives under that name: empty where it takes one away, nothing if it is another
// header.
std::optional<std::string_view> id_given_by(const apr_table_entry_t& header, const SessionName& name,
                                            apr_pool_t* pool) {
    if (name.where == Where::header)
        return is_header_called(header, name.behind_word().data()) ? std::optional(unquoted(header.val)) : std::nullopt;
    if (name.cookie.empty() || !is_header_called(header, "Set-Cookie")) return std::nullopt;
    const auto cookie = read_set_cookie(header.val, name.cookie);
    if (!cookie) return std::nullopt;
    return is_deletion(*cookie, pool) ? std::string_view() : cookie->value;
}

// Whether the request's session id was found under that name.
bool is_of_request(const SessionName& name, const Decision& decision) noexcept {
    const std::string_view found = decision.session.name;
    return !found.empty() && (found == name.cookie || found == name.parameter || found == name.other);
}

// Whether it is to be remembered that a session stays on the worker that serves its request: not where it was moved
// there because its own cannot serve, or has another way to come back.
bool stays_there(const Decision& decision, const LearnedSessions::Recalled& recalled) noexcept {
    if (decision.affinity == Affinity::failover) return decision.is_learned && decision.is_drain_over;
    return (decision.affinity == Affinity::learned && recalled.is_due) || decision.affinity == Affinity::hash ||
           (decision.affinity == Affinity::fresh && !decision.session.id.empty());
}

// Whether an id that a member gives makes its session stay there, rather than where the request's session is at home.
bool stays_where_given(const Decision& decision, std::string_view id) noexcept {
    return decision.affinity != Affinity::overload || id != decision.session.id;
}

bool places_by_sessions(const Balancer& own) noexcept {
    return own.settings.placement_or_default() == Placement::sessions;
}

// Longest value of a cookie with its name, and of a header, in bytes: browsers keep no cookie that is longer.
constexpr std::size_t longest_id = 4096;

// Appends the route of a member to what the response header gives as `id`, a part of its value.
void append_to(apr_table_entry_t& header, std::string_view id, char separator, const char* route,
               apr_pool_t* pool) noexcept {
    const char text[] = {separator, '\0'};
    const auto begin = static_cast<apr_size_t>(id.data() - header.val);
    header.val = apr_pstrcat(pool, apr_pstrmemdup(pool, header.val, begin + id.size()), text, route,
                             header.val + begin + id.size(), nullptr);
}

bool is_cookie_called(const char* set_cookie, std::string_view name) noexcept {
    return std::strncmp(set_cookie, name.data(), name.size()) == 0 && set_cookie[name.size()] == '=';
}

void tell_of_foreign_cookie(request_rec* r, const Decision& decision) noexcept {
    if (!decision.balancer->shared.notices.is_first_foreign_cookie()) return;
    const auto tell = [&] {
        ap_log_rerror(
            APLOG_MARK, APLOG_NOTICE, 0, r,
            "%s: the response of %s has a cookie %s, which is the name of the balancer's own: it is taken off. "
            "A proxy behind this one, and an application, need another name than this balancer: "
            "LBStickyCookie NAME",
            decision.balancer->httpds.s->name, masked_url(url_of(*decision.worker->s)).c_str(),
            decision.balancer->cookie_name.c_str());
    };
    guarded(tell, [](const char*) {});  // without memory nobody is told
}

template <void (Exchange::*act)(request_rec*)>
apr_status_t act_once(ap_filter_t* filter, apr_bucket_brigade* response) noexcept {
    request_rec* r = filter->r;
    auto* exchange = static_cast<Exchange*>(filter->ctx);
    ap_filter_t* next = filter->next;
    ap_remove_output_filter(filter);
    guarded([&] { (exchange->*act)(r); },
            [&](const char* why) {
                ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                              "the response could not be given what clients come back by: %s", why);
            });
    return ap_pass_brigade(next, response);
}

}  // namespace

bool may_be_due(const Decision& decision, const request_rec* r) noexcept {
    return decision.cookie && path_matches(path_of_client(r), decision.balancer->cookie.attributes.path);
}

bool is_only_where_needed(const Decision& decision) noexcept {
    return decision.has_names && !decision.outdated_cookie &&
           decision.balancer->cookie.given == CookieSettings::Given::where_needed;
}

const char* set_cookie_header(request_rec* r, const Decision& decision) noexcept {
    const Balancer& own = *decision.balancer;
    return apr_pstrcat(r->pool, own.cookie_name.c_str(), "=", decision.cookie,
                       own.cookie_end[is_tls(r) ? 1 : 0].c_str(), nullptr);
}

const char* Exchange::all_cookies(request_rec* r) noexcept {
    decision_ = nullptr;
    return withheld_.all_cookies(r);
}

void Exchange::begin(request_rec* r, const Decision& decision, const LearnedSessions::Recalled* recalled) noexcept {
    decision_ = nullptr;
    recalled_.reset();
    if (!decision.balancer || !decision.worker) return;
    const Balancer& own = *decision.balancer;
    if (own.cookie_name.empty() && !decision.id && !own.learned && !places_by_sessions(own)) return;
    decision_ = &decision;
    if (recalled && stays_there(decision, *recalled)) {
        // Not before the member has answered: nobody is at home where nobody was at home. What passes no filter is
        // remembered at once.
        if (r->main || offers_to_upgrade(r))
            own.learned->keep(*recalled, *decision.worker);
        else
            recalled_ = *recalled;
    }
    if (decision.has_cookie || decision.id)
        guarded([&] { withheld_.take_out(decision, r); },
                [&](const char* why) {
                    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "what is not for members could not be taken away: %s",
                                  why);
                });
    if (!has_filters_ && !r->main) {
        ap_add_output_filter_handle(answering_filter, this, r, r->connection);
        // Where filters come before that one, as mod_cache does, they are to see the request as it was.
        const bool is_first = r->output_filters->frec == answering_filter;
        if (withheld_.is_any() && !is_first) ap_add_output_filter_handle(restoring_filter, this, r, r->connection);
        has_filters_ = true;
    }
    if (!own.cookie_name.empty() && offers_to_upgrade(r)) set_early(r);
}

// Sets the cookie already now where the response may be a 101 (Switching Protocols), which passes no filter but keeps
// the Set-Cookie headers that are there before. It has no session id of its own to look at.
void Exchange::set_early(request_rec* r) noexcept {
    take_off(r);  // one that was set for a worker that did not answer
    const bool is_due_now = may_be_due(*decision_, r) &&
                            (!is_only_where_needed(*decision_) || (decision_->session.exists() && !decision_->is_kept));
    if (!is_due_now) return;
    early_ = set_cookie_header(r, *decision_);
    apr_table_addn(r->headers_out, "Set-Cookie", early_);
}

// Takes all cookies of that name off the response: what set_early() has set, and what the member sets.
void Exchange::take_off(request_rec* r) noexcept {
    const std::string_view name = decision_->balancer->cookie_name;
    for (apr_table_t** table : header_tables(r)) {
        bool found = false;
        for_each_header(*table, "Set-Cookie",
                        [&](const char* header) { found = found || is_cookie_called(header, name); });
        if (!found) continue;
        apr_table_t* kept = apr_table_make(r->pool, 8);
        bool is_foreign = false;
        for (const apr_table_entry_t& header : entries_of(*table)) {
            if (!is_header_called(header, "Set-Cookie") || !is_cookie_called(header.val, name))
                apr_table_addn(kept, header.key, header.val);
            else if (!early_ || std::strcmp(header.val, early_) != 0)
                is_foreign = true;
        }
        *table = kept;
        if (is_foreign) tell_of_foreign_cookie(r, *decision_);
    }
    early_ = nullptr;
}

// Appends to an id, if there is room, the route by which its session is found again. Whether there was.
bool Exchange::append_route(apr_table_entry_t& header, const SessionName& name, std::string_view id, apr_pool_t* pool) {
    Balancer& own = *decision_->balancer;
    const bool stays_home = decision_->home_id && id == decision_->session.id;
    const char* route = stays_home ? decision_->home_id : decision_->id;
    if (name.cookie.size() + id.size() + 1 + std::strlen(route) > longest_id) {
        own.shared.counts[Count::ids_too_long].fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    append_to(header, id, own.httpds.s->sticky_separator, route, pool);
    return true;
}

// Reads the session ids that the member gives, appends routes to those that are to have one, and learns those that are
// to be learned. Returns whether the id that the client has after this response brings its session back; nothing if it
// has none.
std::optional<bool> Exchange::read_given_ids(request_rec* r, std::span<apr_table_t** const> tables) {
    Balancer& own = *decision_->balancer;
    const char separator = own.httpds.s->sticky_separator;
    std::optional<bool> is_kept;
    SessionName from_stickysession;
    for (const SessionName& name : own.session_names(from_stickysession)) {
        const bool is_learned = name.keeping == Keeping::learn;
        std::optional<std::string_view> given;  // of several the last one, as browsers do; empty: it takes it away
        bool given_has_route = false;
        std::optional<CurrentRoster> current;  // once an id is given
        for (apr_table_t** table : tables) {
            for (apr_table_entry_t& header : entries_of(*table)) {
                const auto id = id_given_by(header, name, r->pool);
                if (!id) continue;
                given = *id;
                if (id->empty()) continue;
                if (!current) current.emplace(own, r->server);
                const auto route = last_route(*id, separator, name.keeping, current->roster);
                if (route) given = without(*id, *route, separator);
                given_has_route =
                    route || (name.keeping == Keeping::append && append_route(header, name, *id, r->pool));
            }
        }
        current.reset();
        if (is_learned && given && !given->empty() && !given_has_route && stays_where_given(*decision_, *given))
            own.learned->learn(name, *given, *decision_->worker);
        if (is_kept) continue;  // the first name counts
        if (given && !given->empty()) {
            is_kept = given_has_route || is_learned;
            if (decision_->activity && *given != decision_->session.id) note_given_session(*decision_, *given);
        } else if (!given && is_of_request(name, *decision_)) {
            is_kept = decision_->is_kept;
        }
    }
    return is_kept;
}

void Exchange::answer(request_rec* r) {
    restore(r);
    is_answered_ = true;
    if (!decision_) return;
    Balancer& own = *decision_->balancer;
    if (recalled_) own.learned->keep(*recalled_, *decision_->worker);
    bool is_due = may_be_due(*decision_, r);
    const bool depends_on_ids = is_due && is_only_where_needed(*decision_);
    if (depends_on_ids || decision_->id || own.learned || places_by_sessions(own)) {
        const auto is_kept = read_given_ids(r, header_tables(r));
        if (depends_on_ids) is_due = is_kept == false;
    }
    if (own.cookie_name.empty()) return;
    take_off(r);
    if (!is_due) return;
    apr_table_addn(r->headers_out, "Set-Cookie", set_cookie_header(r, *decision_));
    bool is_private = false;
    for (apr_table_t** table : header_tables(r))
        for_each_header(*table, "Cache-Control", [&](const char* value) {
            is_private = is_private || ap_find_token(r->pool, value, "private");
        });
    if (own.cookie.attributes.no_cache && !is_private) apr_table_mergen(r->headers_out, "Cache-Control", "private");
    own.shared.counts[Count::cookies_issued].fetch_add(1, std::memory_order_relaxed);
}

void Exchange::answered_by_another(request_rec* r) {
    if (!decision_ || !has_filters_ || std::exchange(is_answered_, true)) return;
    if (!decision_->id && !decision_->balancer->learned) return;
    // mod_proxy_fcgi and mod_proxy_scgi put what they are given where errors keep it.
    apr_table_t** kept = &r->err_headers_out;
    read_given_ids(r, {&kept, 1});
}

void Exchange::answered_by_upgrade() const noexcept {
    if (decision_ && early_)
        decision_->balancer->shared.counts[Count::cookies_issued].fetch_add(1, std::memory_order_relaxed);
}

void register_filters() noexcept {
    // Nearer to the member than mod_cache, which remembers by what request headers (Vary) it has a response.
    restoring_filter =
        ap_register_output_filter("LBSTICKY_RESTORE", act_once<&Exchange::restore>, nullptr, AP_FTYPE_RESOURCE);
    // Nearer to the client than mod_cache (AP_FTYPE_CONTENT_SET + 1): the cookie of one client is not stored for
    // others.
    constexpr auto behind_the_cache = static_cast<ap_filter_type>(AP_FTYPE_CONTENT_SET + 2);
    answering_filter =
        ap_register_output_filter("LBSTICKY_ANSWER", act_once<&Exchange::answer>, nullptr, behind_the_cache);
}

}  // namespace lbsticky
