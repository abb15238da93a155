#include "httpd/request.hpp"

#include <new>
#include <stdexcept>

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

Question question_of(const proxy_balancer& balancer, const Balancer& own, const request_rec* r,
                     SessionName& from_stickysession) noexcept {
    Question question;
    question.cookies = view(apr_table_get(r->headers_in, "Cookie"));
    question.url = view(r->unparsed_uri);
    question.names = own.session_names(balancer, from_stickysession);
    question.separator = balancer.s->sticky_separator;
    question.nofailover = balancer.s->sticky_force;
    question.hash = own.settings.hash_or_default();
    return question;
}

// As long as it lives, a worker that refused this request stays in error: mod_proxy_balancer resolves a route of
// stickysession= before it asks an lbmethod, and would hand out the same worker again where its retry= is over.
class HeldInError {
public:
    explicit HeldInError(proxy_worker_shared* worker) noexcept
        : worker_(worker && !(worker->status & PROXY_WORKER_IGNORE_ERRORS) ? worker : nullptr) {
        if (!worker_) return;
        failed_at_ = worker_->error_time;
        worker_->error_time = failed_at_ + ahead;
        worker_->status |= PROXY_WORKER_IN_ERROR;
    }
    ~HeldInError() {
        if (worker_ && worker_->error_time == failed_at_ + ahead) worker_->error_time = failed_at_;
    }
    HeldInError(const HeldInError&) = delete;
    HeldInError& operator=(const HeldInError&) = delete;

private:
    static constexpr apr_time_t ahead = apr_time_from_sec(60);  // much longer than anyone takes to choose a worker
    proxy_worker_shared* worker_;
    apr_time_t failed_at_ = 0;
};

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
    const std::string id = session.exists() ? " " + std::string(session.name) + "=" + shortened(session.value) : "";
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "%s: affinity %s, %s%s, %s%s", balancer.s->name,
                  word_for(decision.affinity), session.exists() ? "session" : "no session", id.c_str(),
                  decision.worker ? "member " : "no member", decision.worker ? decision.worker->s->name_ex : "");
}

}  // namespace

Request& Request::of(request_rec* r) {
    if (auto* known = static_cast<Request*>(ap_get_module_config(r->request_config, &lbmethod_sticky_module)))
        return *known;
    auto* request = new (apr_palloc(r->pool, sizeof(Request))) Request;
    const auto destroy = [](void* object) -> apr_status_t {
        static_cast<Request*>(object)->~Request();
        return APR_SUCCESS;
    };
    apr_pool_cleanup_register(r->pool, request, destroy, apr_pool_cleanup_null);
    ap_set_module_config(r->request_config, &lbmethod_sticky_module, request);
    return *request;
}

proxy_worker* Request::decide(proxy_balancer& balancer, request_rec* r) {
    Balancer* own = Balancer::of(balancer);
    if (!own || !own->shared.intact()) throw std::runtime_error("its shared memory is missing or damaged");

    SessionName from_stickysession;
    const Question question = question_of(balancer, *own, r, from_stickysession);
    Tickets tickets(own->shared.tickets());
    LiveRoster& live = own->roster;
    Roster* roster = &live.current(r->request_time, r->server);
    std::unique_ptr<Roster> reduced;
    Choice choice;
    // A second reading is as good as any: what differs then changed in between.
    for (bool again = false;; again = true) {
        if (!failed_.empty() && (reduced = live.without(failed_))) roster = reduced.get();
        choice = choose(question, *roster, tickets);
        const bool decided = choice.worker || choice.affinity == Affinity::refused;
        if (again || (decided && live.still_true(choice, r->server))) break;
        roster = &live.read_again(r->server);
    }

    proxy_worker* worker = choice.worker ? live.worker(*choice.worker) : nullptr;
    decision_ = Decision{worker, choice.affinity, choice.session};
    return worker;
}

proxy_worker* Request::fall_back_to(proxy_worker* worker) noexcept {
    decision_ = Decision{worker, Affinity::fresh, {}};
    return worker;
}

// What mod_proxy_balancer decided by stickysession= without asking the lbmethod: for a worker if the route has one that
// serves or is redirected, else, with nofailover=On, for nobody.
Decision Request::decided_by_httpd(const proxy_balancer& balancer, proxy_worker* chosen, request_rec* r) {
    static const Roster nobody{{}};
    const SessionName name{balancer.s->sticky, balancer.s->sticky_path};
    Question question;
    question.cookies = view(apr_table_get(r->headers_in, "Cookie"));
    question.url = view(r->unparsed_uri);
    question.names = {&name, 1};
    Decision decision{chosen, Affinity::refused, find_session(question, nobody)};
    if (chosen) {
        const char* route = apr_table_get(r->subprocess_env, "BALANCER_SESSION_ROUTE");
        decision.affinity = view(route) == chosen->s->route ? Affinity::route : Affinity::failover;
    }
    return decision;
}

void Request::conclude(proxy_balancer& balancer, proxy_worker* chosen, request_rec* r) {
    const bool by_httpd = !decision_;
    const Decision decision = by_httpd ? decided_by_httpd(balancer, chosen, r) : *decision_;
    const Balancer* own = Balancer::of(balancer);

    apr_table_setn(r->subprocess_env, "BALANCER_AFFINITY", word_for(decision.affinity));
    // mod_proxy_balancer does the same for what it decided itself. What it says of a finder's choice is not always so:
    // that the route has changed whenever there is a stickysession=, and nothing where there is none.
    if (!by_httpd && decision.session.exists()) {
        const Session& session = decision.session;
        set_variable(r, "BALANCER_SESSION_STICKY", session.route.empty() ? std::string_view() : session.name);
        set_variable(r, "BALANCER_SESSION_ROUTE", session.route);
    }
    SessionName from_stickysession;
    if (!by_httpd && own && !own->session_names(balancer, from_stickysession).empty())
        set_variable(r, "BALANCER_ROUTE_CHANGED", decision.affinity == Affinity::route ? "" : "1");

    count(balancer, decision);
    if (APLOG_R_IS_LEVEL(r, APLOG_DEBUG)) log_choice(balancer, decision, r);
}

void Request::count(const proxy_balancer& balancer, const Decision& decision) noexcept {
    // A worker that did not answer did not serve: what was counted for it is taken back.
    if (counted_) counted_->fetch_sub(1, std::memory_order_relaxed);
    counted_ = nullptr;

    Balancer* own = Balancer::of(balancer);
    if (!own) return;
    if (decision.affinity == Affinity::refused)
        counted_ = &own->shared.refused();
    else if (WorkerTally* tally =
                 decision.worker ? own->shared.tally(static_cast<std::size_t>(decision.worker->s->index)) : nullptr)
        counted_ = &tally->of(decision.affinity);
    if (counted_) counted_->fetch_add(1, std::memory_order_relaxed);
}

void Request::choose_worker(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                            char** url, int& status) {
    decision_.reset();
    // mod_proxy asks again, with the balancer it has, when the worker it was given did not answer.
    proxy_worker* failed = *balancer && is_ours(**balancer) ? *worker : nullptr;
    if (failed) failed_.push_back(failed);
    {
        const HeldInError held(failed ? failed->s : nullptr);
        inside_ = true;
        status = mod_proxy.run_pre_request(worker, balancer, r, conf, url);
        inside_ = false;
    }
    if (*balancer && is_ours(**balancer)) conclude(**balancer, *worker, r);
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

}  // namespace lbsticky
