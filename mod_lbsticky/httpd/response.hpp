// The balancer's own cookie on its way to the client.
#pragma once

#include <string_view>

#include "httpd/apache.hpp"

namespace lbsticky {

// What is to be set on the response of the member that was chosen. Lives as long as the request.
struct CookieToSet {
    proxy_balancer* balancer = nullptr;
    const char* value = nullptr;  // null: the client's cookie names that member already, or the balancer gives none
    // By `LBStickyCookie auto` on a balancer with session names the cookie is due only to a client whose session id
    // carries no known route. What the member answers with counts before what the request had.
    bool only_where_needed = false;
    bool needed_by_request = false;
    std::string_view session;  // the name under which the request has a session id; empty: it has none
};

// Registers the output filter. For register_hooks.
void register_response_filter() noexcept;

// Adds the output filter to a request, once; it sets `cookie` as it is when the response comes. No response that httpd
// makes itself passes the filter.
void set_on_response(request_rec* r, CookieToSet& cookie) noexcept;

// Sets the cookie already now where the response may be a 101 (Switching Protocols), which passes no filter but keeps
// the Set-Cookie headers that are there before. To be called for each worker that is chosen.
void set_on_upgrade(request_rec* r, const CookieToSet& cookie) noexcept;

// Counts the cookie that went out with a 101.
void count_upgrade(const CookieToSet& cookie) noexcept;

}  // namespace lbsticky
