// Where a request goes, and why: the decision table. Read this file first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/claims.hpp"
#include "core/roster.hpp"

namespace lbsticky {

// Why a request goes where it goes; `refused`, the last one, is that of those that go nowhere.
enum class Affinity { cookie, route, learned, hash, fresh, failover, overload, refused };
inline constexpr std::size_t affinities = 8;
inline constexpr std::size_t served_affinities = 7;

// Whether such a request is one of a session that belongs to the worker it goes to.
constexpr bool is_sticky(Affinity affinity) noexcept {
    return affinity == Affinity::cookie || affinity == Affinity::route || affinity == Affinity::learned ||
           affinity == Affinity::hash;
}

// The word that users see: "cookie", "route", "learned", "hash", "new", "failover", "overload", "refused".
const char* word_for(Affinity affinity) noexcept;

// The session id of a request, and the route in it.
struct Session {
    std::string_view name;   // where it was found: a cookie, parameter, header:…; empty: there is no session
    std::string_view value;  // all of it
    std::string_view id;     // all of it but separators and routes, if known; empty: it has only a route
    std::string_view route;  // the longest one that a worker has; else what follows the first separator
    std::optional<std::size_t> worker;  // the worker with that route, if any; by preference one that can serve

    // Known routes that end a value, one behind the other, are a list in order of preference: `ID.node1.node2`. `route`
    // is the first of them, these are the workers of the others. Of longer lists the last eight routes count.
    std::array<std::uint16_t, 7> further{};
    std::uint8_t further_count = 0;

    bool exists() const noexcept { return !name.empty(); }
    std::span<const std::uint16_t> further_workers() const noexcept { return {further.data(), further_count}; }
};

// What a request says with the balancer's own cookie.
struct OwnCookie {
    bool present = false;               // there is one, understood or not
    std::string_view id;                // in the one that names the worker
    std::optional<std::size_t> worker;  // the worker it names; by preference one that can serve
};

// The route that ends a session id.
struct LastRoute {
    std::size_t worker;
    std::string_view text;  // the end of the id
};

// The longest route of a worker that stands at the end of an id, behind a separator; nothing if none does. Where the
// balancer appends routes it is one of the worker's ids. At most 64 look-ups, no allocation.
std::optional<LastRoute> last_route(std::string_view id, char separator, Keeping keeping,
                                    const Roster& roster) noexcept;

// An id without the route that ends it, and the separator before that.
constexpr std::string_view without(std::string_view id, const LastRoute& route, char separator) noexcept {
    return id.substr(0, id.size() - route.text.size() - (separator == '\0' ? 0 : 1));
}

// An id without its last_route() and the separator before that; all of it if there is none.
std::string_view without_last_route(std::string_view id, char separator, Keeping keeping,
                                    const Roster& roster) noexcept;

// Takes a session id apart; name and value as it was found. No allocation.
Session read_session(std::string_view name, std::string_view value, char separator, Keeping keeping,
                     const Roster& roster) noexcept;

// Whether a route is a worker's but for case or a character or two. O(workers).
bool is_nearly_known(std::string_view route, const Roster& roster) noexcept;

// The session that a request claims: of several values the first whose route can serve, else the first whose route is
// known, else the first. No allocation.
Session find_session(const Claims& claims, const Rules& rules, const Roster& roster) noexcept;

// The balancer's own cookie that a request claims to have. Its value is a worker's id, which has a dot before it unless
// it is a token; without the dot it is understood too. Of several the first that names a worker that can serve,
// else the first that names one. No allocation.
OwnCookie find_own_cookie(const Claims& claims, const Rules& rules, const Roster& roster) noexcept;

// Who serves a request, and why.
struct Choice {
    // What the request says; nobody is chosen yet.
    Choice(const Claims& claims, const Rules& rules, Roster& roster)
        : session(find_session(claims, rules, roster)),
          cookie(find_own_cookie(claims, rules, roster)),
          learned(claims.learned ? roster.find_by_hash(*claims.learned) : std::nullopt) {}

    std::optional<std::size_t> worker;  // nobody: no worker can serve, or `refused`
    Affinity affinity = Affinity::fresh;
    Session session;
    OwnCookie cookie;
    std::optional<std::size_t> learned;  // the worker that the session is remembered to be on
    std::optional<std::size_t> home;     // the worker that consistent hashing gives the session to, if it cannot serve
    std::optional<std::size_t> other;    // whom the worker was preferred to, by their load

    // The worker that the request wanted and could not have, if any.
    std::optional<std::size_t> moved_from() const noexcept {
        if (affinity == Affinity::overload) return other;
        const bool has_moved = affinity == Affinity::failover || affinity == Affinity::refused;
        if (has_moved) return named() ? named() : home;
        if (affinity == Affinity::learned) return session.worker ? session.worker : cookie.worker;
        return affinity == Affinity::cookie ? session.worker : std::nullopt;
    }

    // The worker that the request names first, or that is remembered for it.
    std::optional<std::size_t> named() const noexcept {
        return session.worker ? session.worker : cookie.worker ? cookie.worker : learned;
    }

    // Beside `worker`, the workers whose state decided. If one of these is no longer what the roster says it is, the
    // choice is void: build a new roster and choose again.
    std::span<const std::uint16_t> looked_at() const noexcept { return {looked_at_.data(), looked_at_count_}; }

    // Notes that the choice rests on this worker, for the first four: only workers that share a route and chains of
    // redirects have more, and those are as good as the roster.
    void look_at(std::size_t index) noexcept {
        for (const std::size_t known : looked_at())
            if (known == index) return;
        if (looked_at_count_ < looked_at_.size()) looked_at_[looked_at_count_++] = static_cast<std::uint16_t>(index);
    }

private:
    std::array<std::uint16_t, 4> looked_at_{};
    std::size_t looked_at_count_ = 0;
};

// Whether the session is over of a client that has only the balancer's own cookie left: its worker drains, and may have
// told it to begin anew, as Tomcat's LoadBalancerDrainingValve does. By the cookie it would go there again, for ever.
bool is_session_over(const Rules& rules, const Roster& roster, const Choice& choice) noexcept;

// Decides. O(1), but for a session that consistent hashing has to place for the first time or whose worker is full:
// O(workers). Draws one ticket for a new session, more where recovering workers pass on their turns, and none
// otherwise. The roster is not const because its hash remembers: one thread at a time. Throws std::bad_alloc.
Choice choose(const Claims& claims, const Rules& rules, Roster& roster, Tickets& tickets);

}  // namespace lbsticky
