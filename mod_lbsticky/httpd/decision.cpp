#include "httpd/decision.hpp"

#include <memory>
#include <stdexcept>

extern "C" {
#include "apr_strings.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Requests with these methods cannot begin a session.
bool can_begin_session(const request_rec* r) noexcept {
    return !r->header_only && r->method_number != M_OPTIONS && r->method_number != M_TRACE;
}

class HeadersAndExpressions final : public OtherPlaces {
public:
    explicit HeadersAndExpressions(request_rec* r) noexcept : r_(r) {}

    std::string_view value_of(const SessionName& name) const noexcept override {
        if (name.where == Where::expression) {
            const char* failure = nullptr;
            const char* value = ap_expr_str_exec(r_, static_cast<const ap_expr_info_t*>(name.compiled), &failure);
            return failure ? std::string_view() : view(value);
        }
        // What is configured ends with a NUL.
        return view(apr_table_get(r_->headers_in, name.behind_word().data()));
    }

private:
    request_rec* r_;
};

// The value of the balancer's own cookie that the client is to be given.
const char* cookie_to_give(const Choice& choice, const Roster& roster, const Decision& decision,
                           apr_pool_t* pool) noexcept {
    const std::string& id = roster.workers()[*choice.worker].ids.front();
    const auto named = choice.cookie.worker;
    if (named && !decision.outdated_cookie && roster.workers()[*named].ids.front() == id) return nullptr;
    return apr_pstrcat(pool, decision.balancer->cookie_mark().data(), id.c_str(), nullptr);
}

}  // namespace

Claims claims_of(request_rec* r, const Rules& rules, std::string_view cookies) noexcept {
    constexpr std::string_view proxy = "proxy:";
    RequestText text;
    text.cookies = cookies;
    text.url = view(r->unparsed_uri);
    if (r->useragent_ip) text.client_address = r->useragent_ip;
    if (rules.go_by_time) text.now = steady_now();
    if (const auto filename = view(r->filename); filename.starts_with(proxy)) {
        text.proxied_url = filename.substr(proxy.size());
        // The query stands apart; most often it is the client's, and found there.
        if (r->args && !text.url.ends_with(r->args))
            text.proxied_url = apr_pstrcat(r->pool, text.proxied_url.data(), "?", r->args, nullptr);
        if (text.proxied_url.ends_with(text.url)) text.url = {};  // once is enough
    }
    const HeadersAndExpressions others(r);
    text.others = &others;
    return read_claims(text, rules);
}

Chosen choose_now(const Question& question, Tickets& tickets, Trial* trial) {
    Balancer& own = question.own;
    const Claims& claims = question.claims;
    const Rules& rules = question.rules;
    const auto failed = question.failed;
    request_rec* r = question.r;
    if (!own.is_intact()) throw std::runtime_error("its shared memory is missing or damaged");
    LiveRoster& live = own.roster;
    const bool waits = own.httpds.s->timeout > 0;
    Roster* roster = &live.current(r->request_time, r->server);
    // Who has waited for one worker in vain tries no other.
    const bool may_try = failed.empty();
    if (!may_try) roster->unset_all_due();
    // From a roster without the failed workers; where that leaves nobody and mod_proxy_balancer waits for somebody
    // (timeout=), from all: one of them may be back.
    const auto chosen = [&] {
        if (!failed.empty())
            if (const auto others = live.without(failed)) {
                const Choice choice = choose(claims, rules, *others, tickets);
                if (choice.worker || choice.affinity == Affinity::refused || !waits) return choice;
            }
        return choose(claims, rules, *roster, tickets);
    };
    Chosen result{chosen(), roster};
    Choice& choice = result.choice;
    // This first: it lets the workers that were looked at try again if it is time.
    const bool still_true = live.still_true(choice, r->server, may_try);
    const bool nobody_serves = !choice.worker && choice.affinity != Affinity::refused;
    if (!still_true || nobody_serves) {
        // A second reading is as good as any: what differs then changed in between.
        roster = &live.read_again(r->server);
        if (!may_try && !(nobody_serves && waits)) roster->unset_all_due();
        choice = chosen();
    }
    while (choice.worker && trial && roster->is_due(*choice.worker)) {
        *trial = live.try_worker(*choice.worker, r);
        if (trial->is_under_way()) break;
        choice = chosen();  // another request was faster
    }
    if (!choice.worker && choice.affinity != Affinity::refused && live.let_all_try()) {
        choice = chosen();
        roster->unset_all_due();
    }
    result.roster = roster;
    return result;
}

void settle(Decision& decision, const Question& question, const Chosen& chosen) {
    Balancer& own = question.own;
    const Claims& claims = question.claims;
    const Rules& rules = question.rules;
    request_rec* r = question.r;
    const LiveRoster& live = own.roster;
    const Choice& choice = chosen.choice;
    const Roster& roster = *chosen.roster;
    decision.balancer = &own;
    if (choice.worker) {
        decision.worker = live.worker(*choice.worker);
        decision.activity = roster.workers()[*choice.worker].activity;
    }
    if (choice.other) decision.other = live.worker(*choice.other);
    if (choice.affinity == Affinity::overload) decision.home_activity = roster.workers()[*choice.other].activity;
    decision.affinity = choice.affinity;
    decision.session = choice.session;
    decision.is_learned = choice.learned.has_value();
    decision.is_kept = choice.session.worker || (claims.from && claims.from->keeping == Keeping::learn);
    if (const auto moved_from = choice.moved_from()) {
        decision.moved_from = live.worker(*moved_from);
        const Worker& wanted = roster.workers()[*moved_from];
        decision.is_drain_over = wanted.is_drain_over && wanted.usable;
    }
    decision.is_session_over = is_session_over(rules, roster, choice);
    decision.has_names = !rules.names.empty();
    decision.has_cookie = choice.cookie.present;
    decision.unknown_cookie = choice.cookie.present && !choice.cookie.worker;
    decision.outdated_cookie = choice.cookie.worker && own.has_older_secrets() &&
                               choice.cookie.id != roster.workers()[*choice.cookie.worker].ids.front();
    decision.outdated_route = choice.session.worker && claims.from->keeping == Keeping::append &&
                              own.has_older_secrets() &&
                              choice.session.route != roster.workers()[*choice.session.worker].ids.front();
    // Who is served elsewhere for this request only keeps what it has.
    if (choice.worker && !own.cookie_name.empty() && choice.affinity != Affinity::overload)
        decision.cookie = cookie_to_give(choice, roster, decision, r->pool);
    if (choice.worker && own.appends) {
        const auto id_of = [&](std::size_t worker) {
            return apr_pstrdup(r->pool, roster.workers()[worker].ids.front().c_str());
        };
        decision.id = id_of(*choice.worker);
        if (choice.affinity == Affinity::overload) decision.home_id = id_of(*choice.other);
    }
    if (decision.unknown_route() && APLOG_R_IS_LEVEL(r, APLOG_DEBUG))
        decision.nearly_known = is_nearly_known(choice.session.route, roster);
}

void decide(Decision& decision, Trial& trial, const Question& question) {
    decision.begins_session = can_begin_session(question.r);
    SharedState& shared = question.own.shared;
    Tickets tickets = decision.begins_session ? Tickets(shared.tickets, 0) : Tickets(shared.tickets_without_session, 1);
    settle(decision, question, choose_now(question, tickets, &trial));
}

}  // namespace lbsticky
