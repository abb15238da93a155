#include "httpd/response.hpp"

#include <cstring>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"

extern "C" {
#include "apr_strings.h"
#include "util_filter.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Registered once, before any request.
ap_filter_rec_t* response_filter = nullptr;

bool is_tls(const request_rec* r) noexcept {
    return std::strcmp(ap_http_scheme(r), "https") == 0;
}

// A request whose response may be a 101. One that waits for a 100 (Continue) first is left out: that would carry the
// cookie too.
bool offers_to_upgrade(const request_rec* r) noexcept {
    return apr_table_get(r->headers_in, "Upgrade") && !apr_table_get(r->headers_in, "Expect");
}

const char* header_for(request_rec* r, const Balancer& own, const CookieToSet& cookie) noexcept {
    return apr_pstrcat(r->pool, own.cookie_name.c_str(), "=", cookie.value, own.cookie_end[is_tls(r) ? 1 : 0].c_str(),
                       nullptr);
}

// Calls visit(value) for each header of that name that the member answers with. Some of mod_proxy's modules put them
// where httpd keeps those that errors have too (mod_proxy_fcgi).
template <typename Visit>
void for_each_header(const request_rec* r, const char* name, Visit&& visit) {
    for (const apr_table_t* table : {r->headers_out, r->err_headers_out}) {
        const apr_array_header_t* headers = apr_table_elts(table);
        for (int i = 0; i < headers->nelts; ++i) {
            const auto& header = APR_ARRAY_IDX(headers, i, apr_table_entry_t);
            if (header.key && header.val && ap_cstr_casecmp(header.key, name) == 0) visit(header.val);
        }
    }
}

// The value of the cookie of that name that the member gives the client; of several the last one, as browsers do.
std::optional<std::string_view> given_by_member(const request_rec* r, std::string_view name) {
    std::optional<std::string_view> given;
    for_each_header(r, "Set-Cookie", [&](std::string_view header) {
        CookieReader cookies(header, name);
        if (const auto value = cookies.next(); value && cookies.begin() == 0 && !value->empty()) given = value;
    });
    return given;
}

// Whether the session that the client will have after this response carries no known route.
bool is_needed(const request_rec* r, const CookieToSet& cookie, Balancer& own) {
    SessionName from_stickysession;
    for (const SessionName& name : own.session_names(from_stickysession)) {
        if (const auto value = given_by_member(r, name.cookie)) {
            const ThreadLock lock(*cookie.balancer);
            const Roster& roster = own.roster.current(apr_time_now(), r->server);  // the request may be old
            return !read_session(name.cookie, *value, own.httpds.s->sticky_separator, roster).worker;
        }
        if (cookie.session == name.cookie || cookie.session == name.parameter) return cookie.needed_by_request;
    }
    return false;
}

// Takes the balancer's own cookie off the response, where set_on_upgrade() has put it.
void take_off(request_rec* r, const Balancer& own) noexcept {
    struct Others {
        std::string_view name;
        apr_table_t* headers;
    } others{own.cookie_name, apr_table_make(r->pool, 8)};
    const auto keep = [](void* context, const char* key, const char* value) -> int {
        const auto& [name, headers] = *static_cast<Others*>(context);
        const bool ours = ap_cstr_casecmp(key, "Set-Cookie") == 0 &&
                          std::strncmp(value, name.data(), name.size()) == 0 && value[name.size()] == '=';
        if (!ours) apr_table_addn(headers, key, value);
        return 1;
    };
    apr_table_do(keep, &others, r->headers_out, nullptr);
    r->headers_out = others.headers;
}

void set_if_due(request_rec* r, const CookieToSet& cookie) {
    Balancer* own = Balancer::of(*cookie.balancer);
    if (!own) return;
    if (offers_to_upgrade(r)) take_off(r, *own);
    if (!cookie.value || (cookie.only_where_needed && !is_needed(r, cookie, *own))) return;
    apr_table_addn(r->headers_out, "Set-Cookie", header_for(r, *own, cookie));
    bool is_private = false;
    for_each_header(r, "Cache-Control", [&](const char* directives) {
        is_private = is_private || ap_find_token(r->pool, directives, "private");
    });
    if (own->cookie.attributes.no_cache && !is_private) apr_table_mergen(r->headers_out, "Cache-Control", "private");
    own->shared.cookies_issued().fetch_add(1, std::memory_order_relaxed);
}

// A 101 has no session id of its own to look at.
bool is_set_on_upgrade(const CookieToSet& cookie) noexcept {
    return cookie.value && (!cookie.only_where_needed || cookie.needed_by_request);
}

apr_status_t set_cookie_once(ap_filter_t* filter, apr_bucket_brigade* response) noexcept {
    request_rec* r = filter->r;
    const auto* cookie = static_cast<const CookieToSet*>(filter->ctx);
    ap_filter_t* next = filter->next;
    ap_remove_output_filter(filter);
    guarded([&] { set_if_due(r, *cookie); },
            [&](const char* why) {
                ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: the balancer's cookie could not be set: %s",
                              cookie->balancer->s->name, why);
            });
    return ap_pass_brigade(next, response);
}

}  // namespace

void register_response_filter() noexcept {
    // Nearer to the client than mod_cache (AP_FTYPE_CONTENT_SET + 1): the cookie of one client is not stored for
    // others.
    constexpr auto behind_the_cache = static_cast<ap_filter_type>(AP_FTYPE_CONTENT_SET + 2);
    response_filter = ap_register_output_filter("LBSTICKY_COOKIE", set_cookie_once, nullptr, behind_the_cache);
}

void set_on_response(request_rec* r, CookieToSet& cookie) noexcept {
    ap_add_output_filter_handle(response_filter, &cookie, r, r->connection);
}

void set_on_upgrade(request_rec* r, const CookieToSet& cookie) noexcept {
    if (!cookie.balancer || !offers_to_upgrade(r)) return;
    const Balancer* own = Balancer::of(*cookie.balancer);
    if (!own) return;
    take_off(r, *own);  // one that was set for a worker that did not answer
    if (is_set_on_upgrade(cookie)) apr_table_addn(r->headers_out, "Set-Cookie", header_for(r, *own, cookie));
}

void count_upgrade(const CookieToSet& cookie) noexcept {
    Balancer* own = cookie.balancer ? Balancer::of(*cookie.balancer) : nullptr;
    if (own && is_set_on_upgrade(cookie)) own->shared.cookies_issued().fetch_add(1, std::memory_order_relaxed);
}

}  // namespace lbsticky
