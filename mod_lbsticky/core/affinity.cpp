#include "core/affinity.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/likeness.hpp"
#include "core/session.hpp"

namespace lbsticky {
namespace {

// Whether a worker may serve, as far as its load goes.
constexpr auto anyone = [](std::size_t) { return true; };

// Of the workers that share the session's route, one that can serve and may.
template <typename May>
std::optional<std::size_t> serving(const Roster& roster, std::size_t named, Choice* choice, May may) noexcept {
    for (std::optional<std::size_t> worker = named; worker; worker = roster.same_route(*worker)) {
        if (choice) choice->look_at(*worker);
        if (roster.serves(*worker) && may(*worker)) return worker;
    }
    return std::nullopt;
}

// Of the workers that share a route, one that can take over sessions of others and may.
template <typename May>
std::optional<std::size_t> taking_over(const Roster& roster, std::size_t named, Choice& choice, May may) noexcept {
    return serving(roster, named, &choice,
                   [&](std::size_t worker) { return !roster.workers()[worker].draining && may(worker); });
}

// The worker that takes over by redirect=, which may redirect in its turn, as often as there are workers.
template <typename May>
std::optional<std::size_t> redirected(const Roster& roster, std::size_t named, Choice& choice, May may) noexcept {
    for (std::size_t steps = 0; steps < roster.workers().size(); ++steps) {
        const std::string& redirect = roster.workers()[named].redirect;
        const auto next = redirect.empty() ? std::nullopt : roster.find(redirect);
        if (!next) return std::nullopt;
        if (const auto worker = taking_over(roster, *next, choice, may)) return worker;
        named = *next;
    }
    return std::nullopt;
}

// The worker that the configuration or the session itself has in the place of the session's own: of the further routes
// of its list the first that can take over, else by redirect=. Nobody, if none of them may.
template <typename May>
std::optional<std::size_t> stand_in(const Roster& roster, Choice& choice, May may) noexcept {
    for (const std::uint16_t named : choice.session.further_workers())
        if (const auto worker = taking_over(roster, named, choice, may)) return worker;
    if (const auto& by_route = choice.session.worker)
        if (const auto worker = redirected(roster, *by_route, choice, may)) return worker;
    if (const auto& by_cookie = choice.cookie.worker)
        if (const auto worker = redirected(roster, *by_cookie, choice, may)) return worker;
    if (choice.learned)
        if (const auto worker = redirected(roster, *choice.learned, choice, may)) return worker;
    return std::nullopt;
}

// What consistent hashing places a request by: its session, else its client's address. Valid as long as the claims
// and this.
class Key {
public:
    Key(const Claims& claims, const Rules& rules, const Session& session) noexcept {
        const std::string_view address = claims.client_address;
        // Without an id all sessions of a worker would go to the same other one: addresses spread them.
        if (session.id.empty()) {
            key_ = address;
            return;
        }
        if (claims.is_all_id()) {
            key_ = session.id;
            return;
        }
        const std::string_view known_id = session.worker ? session.id : std::string_view();
        const PlacementKey key = placement_key(session.value, known_id, rules.separator);
        key_ = key.id;
        if (!key.with_address) return;
        std::size_t size = key.id.copy(both_.data(), both_.size());
        size += address.copy(both_.data() + size, both_.size() - size);
        key_ = {both_.data(), size};
    }
    Key(const Key&) = delete;
    Key& operator=(const Key&) = delete;

    std::string_view text() const noexcept { return key_; }

private:
    std::array<char, 64> both_;  // an id of fewer than 8 characters, and an address: the longest has 45
    std::string_view key_;
};

// The upper half of the table, which is for those whom the request itself names or who are remembered for it. Nobody,
// if none of them may.
template <typename May>
std::pair<std::optional<std::size_t>, Affinity> named_by_request(const Roster& roster, Choice& choice,
                                                                 May may) noexcept {
    if (const auto& by_route = choice.session.worker)
        if (const auto worker = serving(roster, *by_route, &choice, may)) return {worker, Affinity::route};
    if (const auto& by_cookie = choice.cookie.worker)
        if (const auto worker = serving(roster, *by_cookie, &choice, may)) return {worker, Affinity::cookie};
    if (choice.learned)
        if (const auto worker = serving(roster, *choice.learned, &choice, may)) return {worker, Affinity::learned};
    return {stand_in(roster, choice, may), Affinity::failover};
}

// The table itself. What it looks at is noted in the choice.
std::pair<std::optional<std::size_t>, Affinity> decided(const Claims& claims, const Rules& rules, Roster& roster,
                                                        Tickets& tickets, Choice& choice) {
    const Session& session = choice.session;
    const bool is_known = choice.named() && !is_session_over(rules, roster, choice);
    if (is_known) {
        if (const auto found = named_by_request(roster, choice, anyone); found.first) return found;
        if (rules.nofailover) return {std::nullopt, Affinity::refused};
    } else if (session.id.empty() || !rules.hash) {
        if (const auto due = roster.due_for_new_session()) return {due, Affinity::fresh};
        const Placed placed = place(rules.placement, rules.limits.for_new_sessions(), roster, tickets, claims.now);
        choice.other = placed.other;
        return {placed.worker, Affinity::fresh};
    }

    const Key key(claims, rules, session);
    if (!is_known) {
        const auto home = roster.home_of(key.text());
        if (!home || roster.serves(*home)) return {home, Affinity::hash};
        choice.home = home;
        choice.look_at(*home);
    }
    return {roster.by_hash(key.text()), Affinity::failover};
}

// Sends a request of a session whose worker is full where it would go if that one could not serve; where that leads to
// a full one too, whichever of the two is less busy.
void relieve(const Claims& claims, const Rules& rules, const Roster& roster, Choice& choice) {
    const std::size_t full = *choice.worker;
    const auto& workers = roster.workers();
    const Key key(claims, rules, choice.session);

    const auto next_best = [&](auto may) {
        const auto worker = named_by_request(roster, choice, may).first;
        return worker ? worker : roster.by_hash_among(key.text(), may);
    };

    auto other =
        next_best([&](std::size_t index) { return index != full && !is_full(workers[index], rules.limits.all); });
    if (!other) {
        other = next_best([&](std::size_t index) { return index != full; });
        if (!other || !is_less_busy(workers[*other], workers[full])) return;
    }
    choice.worker = other;
    choice.other = full;
    // Who failed over has no home to come back to with the next request.
    if (choice.affinity != Affinity::failover) choice.affinity = Affinity::overload;
}

}  // namespace

const char* word_for(Affinity affinity) noexcept {
    switch (affinity) {
        case Affinity::cookie: return "cookie";
        case Affinity::route: return "route";
        case Affinity::learned: return "learned";
        case Affinity::hash: return "hash";
        case Affinity::fresh: return "new";
        case Affinity::failover: return "failover";
        case Affinity::overload: return "overload";
        case Affinity::refused: return "refused";
    }
    return "new";
}

std::optional<LastRoute> last_route(std::string_view id, char separator, Keeping keeping,
                                    const Roster& roster) noexcept {
    for (RouteCandidates candidates(id, separator); const auto route = candidates.next();)
        if (const auto worker = keeping == Keeping::append ? roster.find_by_id(*route) : roster.find(*route))
            return LastRoute{*worker, *route};
    return std::nullopt;
}

std::string_view without_last_route(std::string_view id, char separator, Keeping keeping,
                                    const Roster& roster) noexcept {
    const auto route = last_route(id, separator, keeping, roster);
    return route ? without(id, *route, separator) : id;
}

Session read_session(std::string_view name, std::string_view value, char separator, Keeping keeping,
                     const Roster& roster) noexcept {
    Session session{name, value, value, {}, std::nullopt};
    const auto take_last_route = [&] {
        const auto route = last_route(session.id, separator, keeping, roster);
        if (!route) return false;
        if (session.worker) {
            const auto end = session.further.begin() + session.further_count++;
            std::copy_backward(session.further.begin(), end, end + 1);
            session.further.front() = static_cast<std::uint16_t>(*session.worker);
        }
        session.worker = route->worker;
        session.route = route->text;
        session.id = without(session.id, *route, separator);
        return true;
    };
    while (session.further_count < session.further.size() && take_last_route()) {
    }
    if (session.worker) return session;
    if (separator == '\0') {
        session.route = value;
    } else if (const auto at = value.find(separator); at != std::string_view::npos) {
        session.route = value.substr(at + 1);
        if (at == 0) session.id = {};
    }
    return session;
}

bool is_nearly_known(std::string_view route, const Roster& roster) noexcept {
    for (const Worker& worker : roster.workers())
        if (is_like(route, worker.route)) return true;
    return false;
}

Session find_session(const Claims& claims, const Rules& rules, const Roster& roster) noexcept {
    const auto read = [&](std::size_t i) {
        const std::string_view name = claims.session_name, value = claims.sessions[i];
        if (claims.is_all_id()) return Session{name, value, value, {}, std::nullopt};
        return read_session(name, value, rules.separator, claims.from->keeping, roster);
    };
    const auto serves = [&](const Session& session) {
        return session.worker && serving(roster, *session.worker, nullptr, anyone);
    };
    Session found = claims.sessions.empty() ? Session() : read(0);
    for (std::size_t i = 1; i < claims.sessions.size() && !serves(found); ++i) {
        const Session other = read(i);
        if (serves(other) || (other.worker && !found.worker)) found = other;
    }
    return found;
}

OwnCookie find_own_cookie(const Claims& claims, const Rules& rules, const Roster& roster) noexcept {
    OwnCookie found;
    if (claims.cookies.empty()) return found;
    found.present = true;
    for (std::size_t i = 0; i < claims.cookies.size(); ++i) {
        const std::string_view value = claims.cookies[i];
        const std::string_view id = value.substr(!rules.has_secret && value.starts_with('.') ? 1 : 0);
        const auto worker = roster.find_by_id(id);
        if (worker && serving(roster, *worker, nullptr, anyone)) return {true, id, worker};
        if (worker && !found.worker) found = {true, id, worker};
    }
    return found;
}

bool is_session_over(const Rules& rules, const Roster& roster, const Choice& choice) noexcept {
    return choice.cookie.worker && !rules.names.empty() && !choice.session.exists() &&
           roster.workers()[*choice.cookie.worker].draining;
}

Choice choose(const Claims& claims, const Rules& rules, Roster& roster, Tickets& tickets) {
    Choice choice(claims, rules, roster);
    std::tie(choice.worker, choice.affinity) = decided(claims, rules, roster, tickets, choice);
    const bool may_move = choice.worker && choice.affinity != Affinity::fresh && !rules.nofailover;
    if (may_move && is_full(roster.workers()[*choice.worker], rules.limits.all)) relieve(claims, rules, roster, choice);
    return choice;
}

}  // namespace lbsticky
