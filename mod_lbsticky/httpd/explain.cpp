#include "httpd/explain.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "core/masked_url.hpp"
#include "httpd/decision.hpp"
#include "httpd/exchange.hpp"
#include "httpd/mod_proxy_functions.hpp"

namespace lbsticky {
namespace {

// The request that is asked about: like the one that asks, but for that URL.
request_rec request_for(const request_rec& asking, const char* url) noexcept {
    request_rec r = asking;
    r.unparsed_uri = apr_pstrdup(r.pool, url);
    r.uri = apr_pstrdup(r.pool, url);
    r.filename = nullptr;
    r.args = std::strchr(r.uri, '?');
    if (r.args) *r.args++ = '\0';
    r.parsed_uri.path = r.uri;
    r.parsed_uri.query = r.args;
    r.request_time = apr_time_now();
    return r;
}

// Whether an answer may give a session id of that name that stays by the balancer's cookie alone: it is not learned,
// and has no route appended.
bool may_come_without_route(const SessionName& name) noexcept {
    return name.keeping == Keeping::given && name.where != Where::expression;
}

// By what the client would come back, a sentence each.
std::vector<std::string> given_by(const Decision& decision, const Rules& rules, request_rec* r) {
    const Balancer& own = *decision.balancer;
    std::vector<std::string> given;
    if (!decision.worker) return given;
    if (decision.affinity == Affinity::overload) return {"nothing: it comes home with its next request"};

    if (may_be_due(decision, r)) {
        // Who knows a token reaches its member.
        const std::string cookie = "cookie " + (own.settings.secrets ? own.cookie_name + "=(a token)"
                                                                     : std::string(set_cookie_header(r, decision)));
        if (!is_only_where_needed(decision))
            given.push_back(cookie);
        else if (!decision.is_kept && decision.session.exists())
            given.push_back(cookie + ", unless the answer gives a session id with a route");
        else if (std::any_of(rules.names.begin(), rules.names.end(), may_come_without_route))
            given.push_back(cookie + ", if the answer's session id has no route");
    } else if (decision.cookie) {
        given.push_back("no cookie: " + own.cookie_name + " is for path=" + own.cookie.attributes.path);
    }
    if (decision.id)
        given.push_back(own.settings.secrets ? "a token, behind each session id that is to have a route appended"
                                             : "the route " + std::string(decision.id) +
                                                   ", behind each session id that is to have one appended");
    if (given.empty()) given.emplace_back("nothing");
    return given;
}

// What mod_proxy_balancer may do yet for a request that nobody can serve.
std::vector<std::string> unless(const Balancer& own, const Roster& roster) {
    std::vector<std::string> sentences;
    if (const apr_interval_time_t timeout = own.httpds.s->timeout; timeout > 0)
        sentences.push_back("somebody can serve within timeout=" + std::to_string(apr_time_sec(timeout)) + " s");
    const auto& workers = roster.workers();
    const bool any = std::any_of(workers.begin(), workers.end(), [](const Worker& worker) { return worker.in_error; });
    if (any && own.httpds.s->forcerecovery)
        sentences.emplace_back("one of the members in error answers: all are tried then (forcerecovery=On)");
    return sentences;
}

}  // namespace

Explanation explain(Balancer& own, const request_rec& asking, const char* url) {
    request_rec r = request_for(asking, url);
    SessionName from_stickysession;
    const Rules rules = rules_of(own, from_stickysession);
    Claims claims = claims_of(&r, rules, view(apr_table_getm(r.pool, r.headers_in, "Cookie")));
    const auto recalled = own.learned ? own.learned->recall(claims, false) : std::nullopt;

    Explanation explanation;
    explanation.balancer = own.httpds.s->name;
    const ThreadLock lock(own.httpds);
    mod_proxy.sync_balancer(&own.httpds, r.server, own.httpds.sconf);
    std::atomic<std::uint64_t> copy = own.shared.tickets.load(std::memory_order_relaxed);
    Tickets tickets = Tickets::to_rehearse(copy);
    const Question question{own, claims, rules, {}, &r};
    const Chosen chosen = choose_now(question, tickets, nullptr);
    const Choice& choice = chosen.choice;
    const Roster& roster = *chosen.roster;
    Decision decision;
    settle(decision, question, chosen);
    const bool asks_store = recalled && own.learned->is_to_ask(*recalled);
    explanation.steps = steps_of(claims, rules, roster, choice, asks_store);
    explanation.affinity = choice.affinity;
    if (choice.worker) {
        explanation.member = masked_url(roster.workers()[*choice.worker].url);
        explanation.route = roster.workers()[*choice.worker].route;
    }
    if (!choice.worker && choice.affinity != Affinity::refused) explanation.unless = unless(own, roster);
    explanation.given = given_by(decision, rules, &r);
    return explanation;
}

}  // namespace lbsticky
