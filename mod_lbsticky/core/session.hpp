// What a request says about its session: where the id stands, and what it is made of.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/cookie.hpp"

namespace lbsticky {

// In what a session id may stand.
enum class Where { cookie_or_url, header, expression };

// How LBStickySession begins to say so. An id in a cookie or URL is named as it is.
inline constexpr std::array<std::pair<std::string_view, Where>, 2> where_words{
    {{"header:", Where::header}, {"expr:", Where::expression}}};

// Where an application puts its session id: in the cookie `cookie`, or in the URL as `parameter`; or else in `other`,
// as it is configured, with its word. Views.
struct SessionName {
    std::string_view cookie;
    std::string_view parameter;
    ParsingRules rules = ParsingRules::strict;
    Where where = Where::cookie_or_url;
    std::string_view other = {};
    const void* compiled = nullptr;  // of an expression, for whoever evaluates it

    // The header's name, or the expression.
    std::string_view behind_word() const noexcept { return other.substr(other.find(':') + 1); }
};

// "NAME", or "COOKIE|PARAMETER" where they differ; or "header:NAME", "expr:EXPRESSION". Throws std::bad_alloc.
std::string text_of(const SessionName& name);

// Reads what text_of() gives, into views of the text: "NAME" (cookie and parameter have the same name) or
// "COOKIE|PARAMETER", as stickysession= does; "header:NAME"; "expr:EXPRESSION", which is not looked into. Nothing if a
// name may not be one; names of cookies and parameters may hold what the name of a cookie may, but no `|` and no `*`.
std::optional<SessionName> parse_session_name(std::string_view text) noexcept;

// The value of a parameter in a request's URL: `;name=value` in any part of its path, or `name=value` in its query.
// The first one that is not empty counts; none gives nothing. One pass over the URL, no allocation. Takes any bytes.
std::optional<std::string_view> find_parameter(std::string_view url, std::string_view name,
                                               ParsingRules rules = ParsingRules::strict) noexcept;

// Longest route that httpd can hold, in bytes (PROXY_WORKER_MAX_ROUTE_SIZE less the final NUL).
inline constexpr std::size_t longest_route = 63;

// The places in a session id at which a route may begin, from the longest to the shortest: behind each separator, as
// far as a route can be that long. Without a separator ('\0') it is the whole value. At most 64 steps, whatever the
// value is.
class RouteCandidates {
public:
    RouteCandidates(std::string_view value, char separator) noexcept
        : rest_(value), separator_(separator), whole_(separator == '\0' && value.size() <= longest_route) {
        // One byte more than a route can have: the separator before the longest of them.
        if (rest_.size() > longest_route + 1) rest_.remove_prefix(rest_.size() - longest_route - 1);
    }

    std::optional<std::string_view> next() noexcept {
        if (separator_ == '\0') {
            if (!std::exchange(whole_, false)) return std::nullopt;
            return rest_;
        }
        const auto at = rest_.find(separator_);
        if (at == std::string_view::npos || at + 1 == rest_.size()) return std::nullopt;
        rest_.remove_prefix(at + 1);
        return rest_;
    }

private:
    std::string_view rest_;
    char separator_;
    bool whole_;
};

// What consistent hashing places a session by.
struct PlacementKey {
    std::string_view id;
    bool with_address = false;  // the id alone is that of many clients: with the client's address behind it
};

// The key of a session, for its value and, where its route is known, what stands before that (else empty). It is the
// same whether the route is known or not, so that a session goes to the same worker before and after a worker, and with
// it a route, was taken out of the configuration. Of the value, in which the route stands behind the last separator:
//
//   nothing behind it can be a route           the value: it is all id
//   the id has fewer than 8 characters         the id with the client's address: `sticky.node1` may be everybody's
//   what stands before it has at least 16      that: it is an id by itself
//   else                                       the value
//
// Applications choose the length of their ids: those that tell clients apart have 16 characters or more.
PlacementKey placement_key(std::string_view value, std::string_view id, char separator) noexcept;

// A session id as it may be written to a log: the first few characters and its length, never the whole.
std::string shortened(std::string_view id);

}  // namespace lbsticky
