// What stands between client and member: by what clients come back. It is the balancer's own cookie, the routes that
// are appended to session ids, and the ids that are learned.
#pragma once

#include <optional>
#include <span>

#include "httpd/apache.hpp"
#include "httpd/decision.hpp"
#include "httpd/withheld.hpp"

namespace lbsticky {

// Whether the balancer's own cookie is due to a client, but for what the member answers with.
bool may_be_due(const Decision& decision, const request_rec* r) noexcept;

// Whether it is due only to a client that has a session id without a known route: by `LBStickyCookie auto`, on a
// balancer with session names. But whoever has one that was signed with an older secret is given another.
bool is_only_where_needed(const Decision& decision) noexcept;

// The Set-Cookie header of a decision by which the cookie is due. Null if there is no memory.
const char* set_cookie_header(request_rec* r, const Decision& decision) noexcept;

// What is done about that for one request, as long as that lasts. One thread at a time has a request.
class Exchange {
public:
    // Withheld::all_cookies(): begins anew.
    const char* all_cookies(request_rec* r) noexcept;

    // For each worker that is chosen: withholds from it what is not for members, and prepares the response. Where the
    // balancer has no cookie of its own and appends and learns nothing this does nothing. The decision must outlive
    // the request. `recalled` is what was remembered of its session; null: it has none that is learned.
    void begin(request_rec* r, const Decision& decision, const LearnedSessions::Recalled* recalled) noexcept;

    // Withheld::restore().
    void restore(request_rec* r) noexcept { withheld_.restore(r); }

    // For the response, whatever a member answers with: puts the request's headers back, remembers where its session
    // was placed, appends routes, learns ids, sets the cookie if it is due, and takes off one of the same name that the
    // member sets. Not for a 101 (Switching Protocols).
    void answer(request_rec* r);

    // For a page that takes the place of what the member answered (ProxyErrorOverride), which passes no filter of this
    // module: such session ids as reach the client all the same are given routes, and learned.
    void answered_by_another(request_rec* r);

    // Counts the cookie that went out with a 101, which passes no filter.
    void answered_by_upgrade() const noexcept;

private:
    bool append_route(apr_table_entry_t& header, const SessionName& name, std::string_view id, apr_pool_t* pool);
    std::optional<bool> read_given_ids(request_rec* r, std::span<apr_table_t** const> tables);
    void set_early(request_rec* r) noexcept;
    void take_off(request_rec* r) noexcept;

    const Decision* decision_ = nullptr;  // null: nothing is to be done
    Withheld withheld_;
    std::optional<LearnedSessions::Recalled> recalled_;  // whose session stays with the member once that has answered
    const char* early_ = nullptr;  // the Set-Cookie header that was set before the member answered
    bool has_filters_ = false;     // the response passes those of this module
    bool is_answered_ = false;     // it has
};

// Registers the output filters. For register_hooks.
void register_filters() noexcept;

}  // namespace lbsticky
