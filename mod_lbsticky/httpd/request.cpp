#include "httpd/request.hpp"

#include <new>
#include <type_traits>
#include <utility>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// A worker that is not in error, if the first one is: mod_proxy_balancer lets every worker in error serve again whose
// time has come, from the first one on, until it finds one that can.
proxy_worker* worker_before_all(const proxy_balancer& balancer) noexcept {
    const auto is_in_error = [&balancer](int i) {
        return (APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s->status & PROXY_WORKER_IN_ERROR) != 0;
    };
    const int count = balancer.workers->nelts;
    if (count == 0 || !is_in_error(0)) return nullptr;
    for (int i = 1; i < count; ++i)
        if (!is_in_error(i)) return APR_ARRAY_IDX(balancer.workers, i, proxy_worker*);
    return nullptr;
}

// The balancer as mod_proxy_balancer is to see it: without stickysession=, so that it asks our finder and nobody else;
// with a timeout= of its own, which it sets to 0 as long as it waits; and where it would let workers serve again that
// one request is to try, with one worker that can. The copy counts as up to date with the list of members: if it
// learned of one by itself, it would become the balancer of a member that outlives it. The mutex must be held when the
// copy is made.
proxy_balancer* view_of(proxy_balancer& balancer, const proxy_server_conf& conf, apr_pool_t* pool) noexcept {
    proxy_worker* only = worker_before_all(balancer);
    if (!*balancer.s->sticky && balancer.s->timeout == 0 && !only) return &balancer;
    // A later httpd may have longer ones of both.
    auto* copy =
        static_cast<proxy_balancer*>(apr_pmemdup(pool, &balancer, static_cast<std::size_t>(conf.balancers->elt_size)));
    copy->s = static_cast<proxy_balancer_shared*>(apr_pmemdup(pool, balancer.s, conf.storage->slot_size(conf.bslot)));
    *copy->s->sticky = *copy->s->sticky_path = '\0';
    copy->wupdated = copy->s->wupdated;
    if (only) {
        copy->workers = apr_array_make(pool, 1, sizeof(proxy_worker*));
        APR_ARRAY_PUSH(copy->workers, proxy_worker*) = only;
    }
    return copy;
}

// Says what mod_proxy_balancer says itself when it refuses.
int refuse(const Decision& decision, request_rec* r) noexcept {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "AH01167: %s: All workers are in error state for route (%s)",
                  decision.balancer->httpds.s->name, decision.moved_from->s->route);
    return HTTP_SERVICE_UNAVAILABLE;
}

// Whether a request says itself who is to serve it.
bool names_worker(Balancer& own, const Claims& claims, const Rules& rules, request_rec* r) noexcept {
    return guarded(
        [&] {
            const ThreadLock lock(own.httpds);
            const Roster& roster = own.roster.current(r->request_time, r->server);
            return find_session(claims, rules, roster).worker || find_own_cookie(claims, rules, roster).worker;
        },
        [](const char*) { return true; });
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

int Request::pre_request(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                         char** url) noexcept {
    // With a balancer and no worker it is ourselves who ask, in choose_worker().
    if (*balancer && !*worker) return DECLINED;
    proxy_balancer* named = *balancer;
    if (!named && ap_cstr_casecmpn(*url, BALANCER_PREFIX, sizeof(BALANCER_PREFIX) - 1) == 0)
        named = mod_proxy.get_balancer(r->pool, conf, *url, 1);
    Balancer* own = named && is_ours(*named) ? Balancer::of(*named) : nullptr;
    if (!own) return DECLINED;

    *balancer = named;
    return of(r).choose_worker(*own, worker, r, conf, url);
}

int Request::choose_worker(Balancer& own, proxy_worker** worker, request_rec* r, proxy_server_conf* conf,
                           char** url) noexcept {
    // mod_proxy asks again when the worker that it was given did not answer.
    const bool again = *worker != nullptr;
    if (again) {
        if (!failed_) failed_ = apr_array_make(r->pool, 2, sizeof(proxy_worker*));
        APR_ARRAY_PUSH(failed_, const proxy_worker*) = *worker;
    }
    *worker = nullptr;
    in_flight_.end();
    decision_.reset();

    // Read.
    const std::string_view cookies = view(exchange_.all_cookies(r));
    SessionName from_stickysession;
    const Rules rules = rules_of(own, from_stickysession);
    Claims claims = claims_of(r, rules, cookies);

    // Recall what was learned of the session. A store may be waited for, so not with the mutex.
    auto recalled = own.learned ? own.learned->recall(claims) : std::nullopt;
    if (recalled && own.learned->is_to_ask(*recalled) && !names_worker(own, claims, rules, r))
        own.learned->ask_store(*recalled, claims);

    claims_ = &claims;

    // Decide. What fails here fails for the finder too, which has an answer to that.
    proxy_balancer* seen = &own.httpds;
    guarded(
        [&] {
            const ThreadLock lock(own.httpds);
            mod_proxy.sync_balancer(&own.httpds, r->server, conf);
            decide_anew(own, claims, rules, r);
            seen = view_of(own.httpds, *conf, r->pool);
        },
        [this](const char*) { decision_.reset(); });

    // Refuse, or hand over: the rest is mod_proxy_balancer's business.
    const bool refused = decision_ && decision_->affinity == Affinity::refused;
    const int status = refused ? refuse(*decision_, r) : mod_proxy.run_pre_request(worker, &seen, r, conf, url);

    claims_ = nullptr;

    // Make known.
    if (decision_) {
        decision_->worker = *worker;
        if (!*worker) decision_->activity = nullptr;
        tally_ = make_known(*decision_, r, cookies, again);
        if (status == OK) {
            if (decision_->activity) in_flight_.begin(*decision_->activity);
            exchange_.begin(r, *decision_, recalled ? &*recalled : nullptr);
            activation_.tell(*decision_, r);
            trial_.expect_answer(r);
        } else if (status != HTTP_SERVICE_UNAVAILABLE) {  // mod_proxy is done with it, and says no more
            std::exchange(tally_, {}).count();
        }
    }
    if (status != OK) trial_.ended(status, r);
    return status == DECLINED ? HTTP_SERVICE_UNAVAILABLE : status;
}

// The worker that was decided on before has not answered, if it was tried.
void Request::decide_anew(Balancer& own, const Claims& claims, const Rules& rules, request_rec* r) {
    trial_.failed();
    decide(decision_.emplace(), trial_, {own, claims, rules, failed(), r});
}

proxy_worker* Request::hand_out(Balancer& own, request_rec* r) {
    const bool is_waiting = decision_ && decision_->balancer == &own && !decision_->handed_out && decision_->worker;
    if (!is_waiting) {
        SessionName from_stickysession;
        const Rules rules = rules_of(own, from_stickysession);
        if (claims_) {
            decide_anew(own, *claims_, rules, r);
        } else {
            Claims claims = claims_of(r, rules, view(exchange_.all_cookies(r)));
            if (own.learned) own.learned->recall(claims);
            decide_anew(own, claims, rules, r);
        }
    }
    decision_->handed_out = true;
    return decision_->worker;
}

proxy_worker* Request::fall_back_to(Balancer* own, proxy_worker* worker) noexcept {
    decision_.reset();
    if (!own) return worker;
    decision_.emplace();
    decision_->balancer = own;
    decision_->worker = worker;
    return worker;
}

void Request::replaced(request_rec* r) noexcept {
    auto* request = static_cast<Request*>(ap_get_module_config(r->request_config, &lbmethod_sticky_module));
    if (!request) return;
    request->exchange_.restore(r);
    // These three it is for want of an answer.
    if (r->status == HTTP_BAD_GATEWAY || r->status == HTTP_SERVICE_UNAVAILABLE || r->status == HTTP_GATEWAY_TIME_OUT)
        return;
    guarded([&] { request->exchange_.answered_by_another(r); }, [](const char*) {});  // without memory: as it is
}

int Request::request_status(int* status, request_rec* r) noexcept {
    auto* request = static_cast<Request*>(ap_get_module_config(r->request_config, &lbmethod_sticky_module));
    if (!request) return DECLINED;
    // This first, or its member might seem to be drained in between.
    if (request->decision_) note_end(*request->decision_);
    request->in_flight_.end();
    request->trial_.ended(*status, r);
    request->tally_.count();
    request->activation_.restore(r);
    request->exchange_.restore(r);
    if (r->status == HTTP_SWITCHING_PROTOCOLS) request->exchange_.answered_by_upgrade();
    return DECLINED;
}

}  // namespace lbsticky
