#include "httpd/request.hpp"

#include <new>
#include <stdexcept>
#include <type_traits>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

extern "C" {
#include "apr_strings.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

std::string_view view(const char* text) noexcept {
    return text ? std::string_view(text) : std::string_view();
}

// A balancer like this one without stickysession=. mod_proxy_balancer, given that, leaves every decision to the finder:
// by itself it would hand out a worker again that has just failed, as soon as its retry= is over.
proxy_balancer* without_stickysession(const proxy_balancer& balancer, apr_pool_t* pool) noexcept {
    auto* shared = static_cast<proxy_balancer_shared*>(apr_pmemdup(pool, balancer.s, sizeof(*balancer.s)));
    *shared->sticky = *shared->sticky_path = '\0';
    auto* copy = static_cast<proxy_balancer*>(apr_pmemdup(pool, &balancer, sizeof(balancer)));
    copy->s = shared;
    return copy;
}

// Sets or unsets a variable of the request.
void set_variable(request_rec* r, const char* name, std::string_view value) noexcept {
    if (value.empty())
        apr_table_unset(r->subprocess_env, name);
    else
        apr_table_setn(r->subprocess_env, name, apr_pstrmemdup(r->pool, value.data(), value.size()));
}

// One line a choice: what an administrator looks at who asks why a request went where it went.
void log_choice(const proxy_balancer& balancer, const Decision& decision, request_rec* r) {
    const Session& session = decision.session;
    const char* whose = "no session";
    if (session.exists())
        whose = apr_psprintf(r->pool, "session %.*s=%s", static_cast<int>(session.name.size()), session.name.data(),
                             shortened(session.value).c_str());
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "%s: affinity %s, %s, %s%s", balancer.s->name,
                  word_for(decision.affinity), whose, decision.worker ? "member " : "no member",
                  decision.worker ? decision.worker->s->name_ex : "");
}

}  // namespace

Request& Request::of(request_rec* r) {
    if (auto* known = static_cast<Request*>(ap_get_module_config(r->request_config, &lbmethod_sticky_module)))
        return *known;
    auto* request = new (apr_palloc(r->pool, sizeof(Request))) Request;
    static_assert(std::is_trivially_destructible_v<Request>);  // it ends with the request's pool
    ap_set_module_config(r->request_config, &lbmethod_sticky_module, request);
    return *request;
}

Question Request::question_of(const Balancer& own, const request_rec* r, SessionName& from_stickysession) {
    if (!cookies_) cookies_ = apr_table_get(r->headers_in, "Cookie");
    Question question;
    question.cookies = view(cookies_);
    question.url = view(r->unparsed_uri);
    question.cookie_name = own.cookie_name;
    if (r->useragent_ip) question.client_address = r->useragent_ip;
    question.names = own.session_names(from_stickysession);
    question.separator = own.httpds.s->sticky_separator;
    question.nofailover = own.httpds.s->sticky_force;
    question.hash = own.settings.hash_or_default();
    return question;
}

proxy_worker* Request::decide(proxy_balancer& balancer, request_rec* r) {
    Balancer* own = Balancer::of(balancer);
    if (!own || !own->is_intact()) throw std::runtime_error("its shared memory is missing or damaged");

    SessionName from_stickysession;
    const Question question = question_of(*own, r, from_stickysession);
    Tickets tickets(own->shared.tickets());
    LiveRoster& live = own->roster;
    Roster* roster = &live.current(r->request_time, r->server);
    std::unique_ptr<Roster> reduced;
    const auto chosen = [&] {
        if (failed_ && (reduced = live.without(failed()))) roster = reduced.get();
        return choose(question, *roster, tickets);
    };
    Choice choice = chosen();
    // This first: it lets the workers that were looked at try again if it is time.
    const bool still_true = live.still_true(choice, r->server);
    const bool nobody_serves = !choice.worker && choice.affinity != Affinity::refused;
    if (!still_true || nobody_serves) {
        // A second reading is as good as any: what differs then changed in between.
        roster = &live.read_again(r->server);
        choice = chosen();
    }

    proxy_worker* worker = choice.worker ? live.worker(*choice.worker) : nullptr;
    note_cookie(*own, question, *roster, choice, r);
    Decision& decision = decision_.emplace();  // filled in place: it is large
    decision.worker = worker;
    decision.affinity = choice.affinity;
    decision.session = choice.session;
    if (const auto moved_from = choice.moved_from()) decision.moved_from = live.worker(*moved_from);
    decision.unknown_route = choice.session.exists() && !choice.session.worker;
    decision.may_have_cookie = choice.cookie.present;
    decision.unknown_cookie = choice.cookie.present && !choice.cookie.worker;
    if (choice.affinity != Affinity::refused) return worker;
    // Null would mean that nobody can serve, for which mod_proxy_balancer may wait: choose_worker() refuses.
    return live.worker(choice.looked_at().front());
}

proxy_worker* Request::fall_back_to(proxy_worker* worker) noexcept {
    decision_.emplace().worker = worker;
    cookie_.value = nullptr;
    return worker;
}

// What mod_proxy_balancer decided by stickysession= without asking the finder: for a worker if the route has one that
// serves or is redirected, else, with nofailover=On, for nobody.
Decision Request::decided_by_httpd(Balancer& own, proxy_balancer& balancer, proxy_worker* chosen, request_rec* r) {
    const SessionName name{own.httpds.s->sticky, own.httpds.s->sticky_path};
    SessionName unused;
    Question question = question_of(own, r, unused);
    question.names = {&name, 1};
    Decision decision{chosen, Affinity::refused, find_session(question, own.nobody)};
    if (chosen) {
        const char* route = apr_table_get(r->subprocess_env, "BALANCER_SESSION_ROUTE");
        decision.affinity = view(route) == chosen->s->route ? Affinity::route : Affinity::failover;
    }
    if (decision.affinity == Affinity::route && own.cookie_name.empty()) return decision;

    const auto ask_roster = [&] {
        const ThreadLock lock(balancer);
        const Roster& roster = own.roster.current(r->request_time, r->server);
        if (decision.affinity != Affinity::route) {
            const auto wanted = roster.find(decision.session.route);
            if (wanted) decision.moved_from = own.roster.worker(*wanted);
            decision.unknown_route = !wanted;
        }
        if (chosen) {
            Choice choice(question, roster);
            choice.worker = own.roster.index_of(*chosen);
            decision.may_have_cookie = choice.cookie.present;
            decision.unknown_cookie = choice.cookie.present && !choice.cookie.worker;
            note_cookie(own, question, roster, choice, r);
        }
    };
    // Without the roster the decision stands all the same.
    guarded(ask_roster, [&](const char* why) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "%s: no cookie is given: %s", balancer.s->name, why);
        cookie_.value = nullptr;
    });
    return decision;
}

void Request::conclude(proxy_balancer& balancer, proxy_worker* chosen, request_rec* r) {
    Balancer* own = Balancer::of(balancer);
    if (!own) return;
    if (!decision_) decision_ = decided_by_httpd(*own, balancer, chosen, r);
    const Decision& decision = *decision_;

    apr_table_setn(r->subprocess_env, "BALANCER_AFFINITY", word_for(decision.affinity));
    // What mod_proxy_balancer says of a finder's choice is not always so: that the route has changed whenever there is
    // a stickysession=, and nothing where there is none.
    SessionName from_stickysession;
    if (!own->session_names(from_stickysession).empty()) {
        const Session& session = decision.session;
        if (session.exists()) {
            set_variable(r, "BALANCER_SESSION_STICKY", session.route.empty() ? std::string_view() : session.name);
            set_variable(r, "BALANCER_SESSION_ROUTE", session.route);
        }
        const bool stays = decision.affinity == Affinity::route || decision.affinity == Affinity::cookie;
        if (chosen && !stays)
            apr_table_setn(r->subprocess_env, "BALANCER_ROUTE_CHANGED", "1");
        else if (*own->httpds.s->sticky || failed_ || r->main)  // mod_proxy_balancer, or who was asked before this
            apr_table_unset(r->subprocess_env, "BALANCER_ROUTE_CHANGED");
    }

    note_counts(*own, decision, r);
    if (chosen && !own->cookie_name.empty()) give_cookie(*own, balancer, r);
    if (APLOG_R_IS_LEVEL(r, APLOG_DEBUG)) log_choice(balancer, decision, r);
}

// Keeps what the client is to be given if the worker that was chosen answers.
void Request::note_cookie(Balancer& own, const Question& question, const Roster& roster, const Choice& choice,
                          request_rec* r) {
    cookie_.value = nullptr;
    if (own.cookie_name.empty()) return;
    if (!choice.worker) return;

    const auto& values = roster.workers()[*choice.worker].cookies;
    if (choice.cookie.worker && roster.workers()[*choice.cookie.worker].cookies == values) return;
    cookie_.value = apr_pstrmemdup(r->pool, values.front().data(), values.front().size());
    cookie_.only_where_needed = own.cookie.given == CookieSettings::Given::where_needed && !question.names.empty();
    cookie_.needed_by_request = choice.session.exists() && !choice.session.worker;
    cookie_.session = choice.session.name;
}

// The member does not see the balancer's own cookie; the client is given one with the response if it is due.
void Request::give_cookie(Balancer& own, proxy_balancer& balancer, request_rec* r) {
    cookie_.balancer = &balancer;
    if (cookies_ && decision_->may_have_cookie) {
        const std::string_view header = cookies_;
        auto* kept = static_cast<char*>(apr_palloc(r->pool, header.size() + 1));
        kept[without_cookie(header, own.cookie_name, kept)] = '\0';
        if (*kept)
            apr_table_setn(r->headers_in, "Cookie", kept);
        else
            apr_table_unset(r->headers_in, "Cookie");
        is_stripped_ = true;
    }
    if (cookie_.value && !has_filter_ && !r->main) {
        set_on_response(r, cookie_);
        has_filter_ = true;
    }
    set_on_upgrade(r, cookie_);
}

// A request is counted once, when it has ended: for the worker that was asked last, whoever was asked before.
void Request::note_counts(Balancer& own, const Decision& decision, const request_rec* r) noexcept {
    const auto tally_of = [&own](const proxy_worker* worker) {
        return worker ? own.shared.tally(static_cast<std::size_t>(worker->s->index)) : nullptr;
    };
    WorkerTally* chosen = tally_of(decision.worker);
    WorkerTally* wanted = tally_of(decision.moved_from);
    served_ = chosen ? &chosen->of(decision.affinity) : nullptr;
    if (decision.affinity == Affinity::refused) served_ = &own.shared.refused();
    moved_ = wanted ? &wanted->moved_away : nullptr;

    if (chosen && is_sticky(decision.affinity))
        chosen->last_sticky.store(static_cast<std::uint64_t>(r->request_time), std::memory_order_relaxed);
    if (!failed_) {
        if (decision.unknown_route) own.shared.unknown_routes().fetch_add(1, std::memory_order_relaxed);
        if (decision.unknown_cookie) own.shared.cookies_unknown().fetch_add(1, std::memory_order_relaxed);
    }
}

void Request::choose_worker(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                            char** url, int& status) {
    decision_.reset();
    char* const filename = r->filename;
    // mod_proxy asks again, with the balancer it has, when the worker it was given did not answer.
    proxy_balancer* reduced = nullptr;
    if (*balancer && *worker && is_ours(**balancer)) {
        if (!failed_) failed_ = apr_array_make(r->pool, 2, sizeof(proxy_worker*));
        APR_ARRAY_PUSH(failed_, const proxy_worker*) = *worker;
        reduced = without_stickysession(**balancer, r->pool);
    }
    inside_ = true;
    status = mod_proxy.run_pre_request(worker, reduced ? &reduced : balancer, r, conf, url);
    inside_ = false;
    if (!*balancer || !is_ours(**balancer)) return;

    if (decision_ && decision_->affinity == Affinity::refused && *worker) {
        refuse(**balancer, **worker, r);
        r->filename = filename;
        *worker = nullptr;
        status = HTTP_SERVICE_UNAVAILABLE;
    }
    conclude(**balancer, *worker, r);
}

// Takes back that mod_proxy_balancer has elected the worker that our finder named only to be refused, and says what
// it says itself when it refuses.
void Request::refuse(const proxy_balancer& balancer, const proxy_worker& named, request_rec* r) {
    --named.s->elected;
    for (const char* variable : {"BALANCER_NAME", "BALANCER_WORKER_NAME", "BALANCER_WORKER_ROUTE"})
        apr_table_unset(r->subprocess_env, variable);
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: All workers are in error state for route (%s)", balancer.s->name,
                  named.s->route);
}

int Request::pre_request(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                         char** url) noexcept {
    if (!*balancer && ap_cstr_casecmpn(*url, BALANCER_PREFIX, sizeof(BALANCER_PREFIX) - 1) != 0) return DECLINED;
    int status = DECLINED;
    return guarded(
        [&] {
            Request& request = of(r);
            if (!request.inside_) request.choose_worker(worker, balancer, r, conf, url, status);
            return status;
        },
        [&](const char* why) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "what was decided for the request could not be noted: %s", why);
            return status;
        });
}

int Request::request_status(int*, request_rec* r) noexcept {
    const auto* request = static_cast<Request*>(ap_get_module_config(r->request_config, &lbmethod_sticky_module));
    if (!request) return DECLINED;
    if (request->served_) request->served_->fetch_add(1, std::memory_order_relaxed);
    if (request->moved_) request->moved_->fetch_add(1, std::memory_order_relaxed);
    if (request->is_stripped_) apr_table_setn(r->headers_in, "Cookie", request->cookies_);
    if (r->status == HTTP_SWITCHING_PROTOCOLS) count_upgrade(request->cookie_);
    return DECLINED;
}

}  // namespace lbsticky
