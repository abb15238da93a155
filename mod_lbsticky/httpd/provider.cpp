#include "httpd/provider.hpp"

#include <stdexcept>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/request.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// How mod_lbmethod_byrequests compares workers: weighted round robin by lbstatus. For requests that we cannot decide.
int is_more_urgent(proxy_worker* current, proxy_worker* best, void* total) noexcept {
    current->s->lbstatus += current->s->lbfactor;
    *static_cast<int*>(total) += current->s->lbfactor;
    return !best || current->s->lbstatus > best->s->lbstatus;
}

proxy_worker* choose_as_byrequests(proxy_balancer* balancer, request_rec* r) noexcept {
    int total = 0;
    proxy_worker* worker = mod_proxy.get_best_worker(balancer, r, is_more_urgent, &total);
    if (worker) worker->s->lbstatus -= total;
    return worker;
}

// mod_proxy_balancer holds the balancer's thread mutex. Null means that nobody can serve: it then answers 503.
proxy_worker* find_worker(proxy_balancer* balancer, request_rec* r) noexcept {
    Balancer* own = Balancer::of(*balancer);
    Request& request = Request::of(r);
    return guarded(
        [&] {
            if (!own) throw std::runtime_error("it was made after the start");
            proxy_worker* worker = request.hand_out(*own, r);
            own->failing = false;
            return worker;
        },
        [&](const char* why) {
            if (!own || !own->failing)
                ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                              "%s: workers are chosen by plain round robin until this is mended: %s", balancer->s->name,
                              why);
            if (own) own->failing = true;
            // What mod_proxy_balancer sees may not have all workers.
            return request.fall_back_to(own, choose_as_byrequests(own ? &own->httpds : balancer, r));
        });
}

// Called when the method was chosen in balancer-manager, and when a worker was enabled there. The rotation goes on.
apr_status_t reset(proxy_balancer* balancer, server_rec*) noexcept {
    for (int i = 0; i < balancer->workers->nelts; ++i)
        APR_ARRAY_IDX(balancer->workers, i, proxy_worker*)->s->lbstatus = 0;
    return APR_SUCCESS;
}

apr_status_t age(proxy_balancer*, server_rec*) noexcept {
    return APR_SUCCESS;
}

// Called for a session route that mod_proxy_balancer resolved itself, which it does only where our hook did not run.
// Sessions have no part in the rotation, but without this function mod_proxy_balancer would change lbstatus of all
// workers.
apr_status_t update_lbstatus(proxy_balancer*, proxy_worker*, server_rec*) noexcept {
    return APR_SUCCESS;
}

}  // namespace

const proxy_balancer_method provider = {"sticky", find_worker, nullptr, reset, age, update_lbstatus};

}  // namespace lbsticky
