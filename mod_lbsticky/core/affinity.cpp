#include "core/affinity.hpp"

namespace lbsticky {
namespace {

Session session_from(std::string_view name, std::string_view value, const Question& question,
                     const Roster& roster) noexcept {
    Session session{name, value, value, {}, std::nullopt};
    for (RouteCandidates candidates(value, question.separator); const auto route = candidates.next();) {
        session.worker = roster.find(*route);
        if (!session.worker) continue;
        session.route = *route;
        const std::size_t separator = question.separator == '\0' ? 0 : 1;
        session.id = value.substr(0, value.size() - route->size() - separator);
        return session;
    }
    const auto separator = value.find(question.separator);
    if (question.separator == '\0')
        session.route = value;
    else if (separator != std::string_view::npos)
        session.route = value.substr(separator + 1);
    return session;
}

// Of the workers that share the session's route, one that can serve.
std::optional<std::size_t> serving(const Roster& roster, std::size_t named, Choice* choice) noexcept {
    for (std::optional<std::size_t> worker = named; worker; worker = roster.same_route(*worker)) {
        if (choice) choice->look_at(*worker);
        if (roster.workers()[*worker].usable) return worker;
    }
    return std::nullopt;
}

// The worker that takes over by redirect=, which may redirect in its turn, as often as there are workers.
std::optional<std::size_t> redirected(const Roster& roster, std::size_t named, Choice& choice) noexcept {
    for (std::size_t steps = 0; steps < roster.workers().size(); ++steps) {
        const std::string& redirect = roster.workers()[named].redirect;
        const auto next = redirect.empty() ? std::nullopt : roster.find(redirect);
        if (!next) return std::nullopt;
        for (std::optional<std::size_t> worker = next; worker; worker = roster.same_route(*worker)) {
            choice.look_at(*worker);
            if (roster.workers()[*worker].usable && !roster.workers()[*worker].draining) return worker;
        }
        named = *next;
    }
    return std::nullopt;
}

}  // namespace

const char* word_for(Affinity affinity) noexcept {
    switch (affinity) {
        case Affinity::cookie: return "cookie";
        case Affinity::route: return "route";
        case Affinity::hash: return "hash";
        case Affinity::fresh: return "new";
        case Affinity::failover: return "failover";
        case Affinity::refused: return "refused";
    }
    return "new";
}

Session find_session(const Question& question, const Roster& roster) noexcept {
    for (const SessionName& name : question.names) {
        if (const auto value = find_parameter(question.url, name.parameter))
            return session_from(name.parameter, *value, question, roster);

        Session best;
        CookieReader cookies(question.cookies);
        while (const auto cookie = cookies.next()) {
            if (cookie->name != name.cookie || cookie->value.empty()) continue;
            const Session session = session_from(name.cookie, cookie->value, question, roster);
            if (session.worker && serving(roster, *session.worker, nullptr)) return session;
            if (!best.exists() || (session.worker && !best.worker)) best = session;
        }
        if (best.exists()) return best;
    }
    return {};
}

Choice choose(const Question& question, Roster& roster, Tickets& tickets) {
    Choice choice;
    choice.session = find_session(question, roster);
    const auto decided = [&choice](std::optional<std::size_t> worker, Affinity affinity) {
        choice.worker = worker;
        choice.affinity = affinity;
        return choice;
    };

    if (const auto named = choice.session.worker) {
        if (const auto worker = serving(roster, *named, &choice)) return decided(worker, Affinity::route);
        if (const auto worker = redirected(roster, *named, choice)) return decided(worker, Affinity::failover);
        if (question.nofailover) return decided(std::nullopt, Affinity::refused);
        // `ROUTEID=.node1` says which worker, but not whose session: all of them must not go to one worker.
        const bool has_id = !choice.session.id.empty() || question.client_address.empty();
        return decided(roster.by_hash(has_id ? choice.session.key() : question.client_address), Affinity::failover);
    }
    if (choice.session.exists() && question.hash) return decided(roster.by_hash(choice.session.key()), Affinity::hash);
    return decided(roster.by_rotation(tickets), Affinity::fresh);
}

}  // namespace lbsticky
