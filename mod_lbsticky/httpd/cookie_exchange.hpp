// The balancer's own cookie between client and member: members never see it, clients are given it where they lack it.
#pragma once

#include "httpd/apache.hpp"
#include "httpd/decision.hpp"

namespace lbsticky {

// What is done about the cookie for one request, as long as that lasts. One thread at a time has a request.
class CookieExchange {
public:
    // All Cookie headers of the request, as the client and other modules left them, in one; null where there is none.
    // Begins anew: puts back what was taken away for a worker that did not answer.
    const char* all_cookies(request_rec* r) noexcept;

    // For each worker that is chosen: takes the cookie away from the request, and prepares the response. Where the
    // balancer has no cookie of its own this does nothing. The decision must outlive the request.
    void begin(request_rec* r, const Decision& decision) noexcept;

    // Puts the Cookie headers back as they were: for whoever looks at the request once it has been sent.
    void restore(request_rec* r) noexcept;

    // For the response, whatever a member answers with: sets the cookie if it is due, and takes off one of the same
    // name that the member sets. Not for a 101 (Switching Protocols).
    void answer(request_rec* r);

    // Counts the cookie that went out with a 101, which passes no filter.
    void answered_by_upgrade() const noexcept;

private:
    bool may_be_due(const request_rec* r) const noexcept;
    bool is_due(const request_rec* r) const;
    bool is_only_where_needed() const noexcept;
    void take_away(request_rec* r) noexcept;
    void set_early(request_rec* r) noexcept;
    void take_off(request_rec* r) noexcept;

    const Decision* decision_ = nullptr;  // null: the balancer has no cookie of its own
    apr_array_header_t* sent_ = nullptr;  // the Cookie headers, if they are not in the request as they were
    const char* early_ = nullptr;         // the Set-Cookie header that was set before the member answered
    bool has_filters_ = false;            // the response passes those of this module
};

// Registers the output filters. For register_hooks.
void register_cookie_filters() noexcept;

}  // namespace lbsticky
