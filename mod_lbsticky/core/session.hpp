// What a session id is made of, and how it is read in a URL.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/cookie.hpp"

namespace lbsticky {

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
