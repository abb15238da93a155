#include "httpd/trial.hpp"

#include <algorithm>
#include <utility>

#include "core/starts.hpp"
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
    __atomic_fetch_or(&worker.s->status, PROXY_WORKER_IN_ERROR, __ATOMIC_ACQ_REL);
}

// It has answered when nobody waited for that any more.
void take_out_of_error(const proxy_worker& worker) noexcept {
    __atomic_fetch_and(&worker.s->status, ~static_cast<unsigned>(PROXY_WORKER_IN_ERROR), __ATOMIC_ACQ_REL);
}

// The trial with that ticket has failed. The worker is in error before the trial is over, or everybody would go there
// for a moment.
void end_in_error(const proxy_worker& worker, Probe& probe, std::uint64_t ticket, bool from_now_on) noexcept {
    if (!probe.begin_failure(ticket)) return;
    put_into_error(worker, from_now_on);
    if (!probe.end(ticket)) take_out_of_error(worker);
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

void end_overdue_trial(proxy_worker& worker, Activity& activity, std::uint16_t start) noexcept {
    Probe& probe = activity.probe();
    if (!probe.is_under_way()) return;
    const std::uint64_t ticket = probe.overdue(steady_now());
    if (ticket == 0) return;
    // A process of the start before is about to end, and whom it tries is another's business.
    const auto age = starts_since(Probe::start_of(ticket), start);
    if (age < 0) return;
    // With a connection mod_proxy sets this to 0.
    const bool is_answered = Probe::is_patient(ticket) && worker.s->error_time == 0;
    if (age > 0 || is_answered)
        probe.end(ticket);
    else
        end_in_error(worker, probe, ticket, true);
}

Comeback comeback_of(const proxy_worker& worker, const Activity* activity) noexcept {
    if (activity && activity->probe().is_under_way()) return Comeback::none;
    const unsigned status = __atomic_load_n(&worker.s->status, __ATOMIC_RELAXED);
    if (!(status & PROXY_WORKER_IN_ERROR) || (status & PROXY_WORKER_STOPPED)) return Comeback::none;
    const bool is_ignored = (status & PROXY_WORKER_IGNORE_ERRORS) != 0;
    if (!is_ignored && apr_time_now() <= worker.s->error_time + worker.s->retry) return Comeback::none;
    constexpr unsigned others = PROXY_WORKER_NOT_USABLE_BITMAP & ~PROXY_WORKER_IN_ERROR;
    const bool is_to_be_tried = activity && !is_ignored && worker.s->retry > 0 && (status & others) == 0;
    return is_to_be_tried ? Comeback::by_one : Comeback::whole;
}

Trial::Trial(const proxy_balancer& balancer, proxy_worker& worker, Activity& activity, std::uint16_t start,
             request_rec* r) noexcept
    : balancer_(&balancer), worker_(&worker), probe_(&activity.probe()) {
    constexpr apr_interval_time_t longest = apr_time_from_sec(5);
    const apr_interval_time_t limit = std::clamp(connection_timeout(worker, r), apr_time_from_msec(1), longest);
    // A tunnel passes no filter before it ends.
    const bool is_patient = apr_table_get(r->headers_in, "Upgrade") != nullptr;
    ticket_ = probe_->begin(start, steady_now(), milliseconds(limit), is_patient);
    if (ticket_ == 0) return;
    // Nobody is to see that there is no error before they can see that there is a trial.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    mod_proxy.retry_worker("BALANCER", worker_, r->server);
}

void Trial::expect_answer(request_rec* r) noexcept {
    if (is_under_way()) ap_add_output_filter_handle(trial_filter, this, r, r->connection);
}

void Trial::succeed() noexcept {
    const std::uint64_t ticket = std::exchange(ticket_, 0);
    if (ticket != 0 && !probe_->end(ticket)) take_out_of_error(*worker_);
}

void Trial::fail(bool from_now_on) noexcept {
    const std::uint64_t ticket = std::exchange(ticket_, 0);
    if (ticket != 0) end_in_error(*worker_, *probe_, ticket, from_now_on);
}

void Trial::answered(const request_rec* r) noexcept {
    // Which answers are errors, mod_proxy_balancer says when the request ends.
    const apr_array_header_t* errors = balancer_ ? balancer_->errstatuses : nullptr;
    for (int i = 0; errors && i < errors->nelts; ++i)
        if (APR_ARRAY_IDX(errors, i, int) == r->status) return;
    succeed();
}

void Trial::failed() noexcept {
    fail(true);
}

void Trial::ended(int status, const request_rec* r) noexcept {
    if (!is_under_way()) return;
    const bool is_in_error = (worker_->s->status & PROXY_WORKER_IN_ERROR) != 0;
    const bool has_answer = status == OK || apr_table_get(r->notes, "proxy-error-override");
    // What else mod_proxy answers may be the client's fault: then the next request tries it.
    if (has_answer && !is_in_error)
        succeed();
    else
        fail(ap_is_HTTP_SERVER_ERROR(status));
}

void register_trial_filter() noexcept {
    trial_filter = ap_register_output_filter("LBSTICKY_TRIAL", see_answer, nullptr, AP_FTYPE_RESOURCE);
}

}  // namespace lbsticky
