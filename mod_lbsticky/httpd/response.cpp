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

constexpr const char* response_filter = "LBSTICKY_COOKIE";

bool is_tls(const request_rec* r) noexcept {
    return std::strcmp(ap_http_scheme(r), "https") == 0;
}

const char* header_for(request_rec* r, const Balancer& own, const CookieToSet& cookie) noexcept {
    return apr_pstrcat(r->pool, own.cookie_name.c_str(), "=", cookie.value, own.cookie_end[is_tls(r) ? 1 : 0].c_str(),
                       nullptr);
}

// Calls visit(value) for each Set-Cookie header of the response.
template <typename Visit>
void for_each_set_cookie(const request_rec* r, Visit&& visit) {
    const apr_array_header_t* headers = apr_table_elts(r->headers_out);
    for (int i = 0; i < headers->nelts; ++i) {
        const auto& header = reinterpret_cast<const apr_table_entry_t*>(headers->elts)[i];
        if (header.key && header.val && ap_cstr_casecmp(header.key, "Set-Cookie") == 0) visit(header.val);
    }
}

// Whether the session that the client will have after this response carries no known route.
bool is_needed(const request_rec* r, const CookieToSet& cookie, Balancer& own) {
    proxy_balancer& balancer = *cookie.balancer;
    SessionName from_stickysession;
    const auto names = own.session_names(from_stickysession);
    std::optional<bool> by_response;
    for_each_set_cookie(r, [&](std::string_view header) {
        for (const SessionName& name : names) {
            CookieReader cookies(header, name.cookie);
            const auto value = cookies.next();
            if (!value || value->empty() || cookies.begin() != 0) continue;
            const ThreadLock lock(balancer);
            const Roster& roster = own.roster.current(r->request_time, r->server);
            by_response = !read_session(name.cookie, *value, balancer.s->sticky_separator, roster).worker;
        }
    });
    return by_response.value_or(cookie.needed_by_request);
}

bool is_set(const request_rec* r, const char* header) {
    bool found = false;
    for_each_set_cookie(r, [&](const char* other) { found = found || std::strcmp(other, header) == 0; });
    return found;
}

void set_if_due(request_rec* r, const CookieToSet& cookie) {
    if (!cookie.value) return;
    Balancer* own = Balancer::of(*cookie.balancer);
    if (!own || (cookie.only_where_needed && !is_needed(r, cookie, *own))) return;
    const char* header = header_for(r, *own, cookie);
    if (!is_set(r, header)) apr_table_addn(r->headers_out, "Set-Cookie", header);
    const char* caching = apr_table_get(r->headers_out, "Cache-Control");
    if (own->cookie.attributes.no_cache && !ap_find_token(r->pool, caching, "private"))
        apr_table_mergen(r->headers_out, "Cache-Control", "private");
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
    guarded(
        [&] {
            set_if_due(r, *cookie);
            return 0;
        },
        [&](const char* why) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: the balancer's cookie could not be set: %s",
                          cookie->balancer->s->name, why);
            return 0;
        });
    return ap_pass_brigade(next, response);
}

}  // namespace

void register_response_filter() noexcept {
    // Nearer to the client than mod_cache (AP_FTYPE_CONTENT_SET + 1): the cookie of one client is not stored for
    // others.
    constexpr auto behind_the_cache = static_cast<ap_filter_type>(AP_FTYPE_CONTENT_SET + 2);
    ap_register_output_filter(response_filter, set_cookie_once, nullptr, behind_the_cache);
}

void set_on_response(request_rec* r, CookieToSet& cookie) noexcept {
    ap_add_output_filter(response_filter, &cookie, r, r->connection);
}

void set_on_upgrade(request_rec* r, const CookieToSet& cookie) noexcept {
    if (!cookie.balancer || !apr_table_get(r->headers_in, "Upgrade")) return;
    const Balancer* own = Balancer::of(*cookie.balancer);
    if (!own) return;
    // One that was set for a worker that did not answer.
    const std::size_t length = own->cookie_name.size();
    apr_table_t* others = apr_table_make(r->pool, 4);
    for_each_set_cookie(r, [&](const char* header) {
        const bool ours = std::strncmp(header, own->cookie_name.c_str(), length) == 0 && header[length] == '=';
        if (!ours) apr_table_addn(others, "Set-Cookie", header);
    });
    apr_table_unset(r->headers_out, "Set-Cookie");
    r->headers_out = apr_table_overlay(r->pool, r->headers_out, others);
    if (is_set_on_upgrade(cookie)) apr_table_addn(r->headers_out, "Set-Cookie", header_for(r, *own, cookie));
}

void count_upgrade(const CookieToSet& cookie) noexcept {
    Balancer* own = cookie.balancer ? Balancer::of(*cookie.balancer) : nullptr;
    if (own && is_set_on_upgrade(cookie)) own->shared.cookies_issued().fetch_add(1, std::memory_order_relaxed);
}

}  // namespace lbsticky
