#include "httpd/trial.hpp"

#include <algorithm>
#include <utility>

#include "httpd/mod_proxy_functions.hpp"

extern "C" {
#include "util_filter.h"
}

namespace lbsticky {
namespace {

// Registered once, before any request.
ap_filter_rec_t* trial_filter = nullptr;

// As mod_proxy puts a worker into error: not from now on, if it has been before.
void put_into_error(const proxy_worker& worker, bool from_now_on) noexcept {
    if (worker.s->status & (PROXY_WORKER_IGNORE_ERRORS | PROXY_WORKER_IN_ERROR)) return;
    if (from_now_on) worker.s->error_time = apr_time_now();
    worker.s->status |= PROXY_WORKER_IN_ERROR;
}

// How long mod_proxy waits for a connection.
apr_interval_time_t connection_timeout(const proxy_worker& worker, const request_rec* r) noexcept {
    if (worker.s->conn_timeout_set) return worker.s->conn_timeout;
    if (worker.s->timeout_set) return worker.s->timeout;
    const proxy_server_conf& conf = *proxy_configuration(r->server);
    return conf.timeout_set ? conf.timeout : r->server->timeout;
}

// What closes the client's connection, or makes httpd's own page: no answer of the worker's.
bool is_failure(apr_bucket_brigade* response) noexcept {
    for (apr_bucket* bucket = APR_BRIGADE_FIRST(response); bucket != APR_BRIGADE_SENTINEL(response);
         bucket = APR_BUCKET_NEXT(bucket))
        if (AP_BUCKET_IS_EOC(bucket) || AP_BUCKET_IS_ERROR(bucket)) return true;
    return false;
}

apr_status_t see_answer(ap_filter_t* filter, apr_bucket_brigade* response) noexcept {
    auto* trial = static_cast<Trial*>(filter->ctx);
    ap_filter_t* next = filter->next;
    ap_remove_output_filter(filter);
    if (!is_failure(response)) trial->answered(filter->r);
    return ap_pass_brigade(next, response);
}

}  // namespace

Comeback comeback_of(const proxy_worker& worker, Activity* activity) noexcept {
    if (activity && activity->probe().is_under_way()) {
        const std::uint64_t ticket = activity->probe().overdue(milliseconds(apr_time_now()));
        if (ticket == 0) return Comeback::none;
        // With a connection mod_proxy sets this to 0.
        const bool is_answered = Probe::is_patient(ticket) && worker.s->error_time == 0;
        if (!is_answered) put_into_error(worker, true);
        activity->probe().end(ticket);
        return Comeback::none;
    }
    const unsigned status = __atomic_load_n(&worker.s->status, __ATOMIC_RELAXED);
    if (!(status & PROXY_WORKER_IN_ERROR) || (status & PROXY_WORKER_STOPPED)) return Comeback::none;
    const bool is_ignored = (status & PROXY_WORKER_IGNORE_ERRORS) != 0;
    if (!is_ignored && apr_time_now() <= worker.s->error_time + worker.s->retry) return Comeback::none;
    constexpr unsigned others = PROXY_WORKER_NOT_USABLE_BITMAP & ~PROXY_WORKER_IN_ERROR;
    const bool is_to_be_tried = activity && !is_ignored && worker.s->retry > 0 && (status & others) == 0;
    return is_to_be_tried ? Comeback::by_one : Comeback::whole;
}

Trial::Trial(const proxy_balancer& balancer, proxy_worker& worker, Activity& activity, request_rec* r) noexcept
    : balancer_(&balancer), worker_(&worker), probe_(&activity.probe()) {
    constexpr apr_interval_time_t longest = apr_time_from_sec(5);
    const apr_interval_time_t limit = std::clamp(connection_timeout(worker, r), apr_time_from_msec(1), longest);
    // A tunnel passes no filter before it ends.
    const bool is_patient = apr_table_get(r->headers_in, "Upgrade") != nullptr;
    ticket_ = probe_->begin(milliseconds(apr_time_now()), milliseconds(limit), is_patient);
    if (ticket_ == 0) return;
    // Nobody is to see that there is no error before they can see that there is a trial.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    mod_proxy.retry_worker("BALANCER", worker_, r->server);
}

void Trial::expect_answer(request_rec* r) noexcept {
    if (is_under_way()) ap_add_output_filter_handle(trial_filter, this, r, r->connection);
}

void Trial::end(bool in_error, bool from_now_on) noexcept {
    const std::uint64_t ticket = std::exchange(ticket_, 0);
    if (ticket == 0) return;
    // This first, or everybody would go there for a moment. Of a trial that was given up nobody waits for the end.
    if (in_error && probe_->is(ticket)) put_into_error(*worker_, from_now_on);
    const bool was_overdue = !probe_->end(ticket);
    // It has answered after all.
    if (was_overdue && !in_error) worker_->s->status &= ~static_cast<unsigned>(PROXY_WORKER_IN_ERROR);
}

void Trial::answered(const request_rec* r) noexcept {
    // Which answers are errors, mod_proxy_balancer says when the request ends.
    const apr_array_header_t* errors = balancer_ ? balancer_->errstatuses : nullptr;
    for (int i = 0; errors && i < errors->nelts; ++i)
        if (APR_ARRAY_IDX(errors, i, int) == r->status) return;
    end(false, false);
}

void Trial::failed() noexcept {
    end(true, true);
}

void Trial::ended(int status, const request_rec* r) noexcept {
    if (!is_under_way()) return;
    const bool is_in_error = (worker_->s->status & PROXY_WORKER_IN_ERROR) != 0;
    const bool has_answer = status == OK || apr_table_get(r->notes, "proxy-error-override");
    // What else mod_proxy answers may be the client's fault: then the next request tries it.
    end(is_in_error || !has_answer, ap_is_HTTP_SERVER_ERROR(status));
}

void register_trial_filter() noexcept {
    trial_filter = ap_register_output_filter("LBSTICKY_TRIAL", see_answer, nullptr, AP_FTYPE_RESOURCE);
}

}  // namespace lbsticky
