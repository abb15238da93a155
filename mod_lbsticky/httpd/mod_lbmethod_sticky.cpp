// The module record and its hooks, in the order in which they run. Nothing else.
#include "httpd/directives.hpp"
#include "httpd/exchange.hpp"
#include "httpd/in_flight.hpp"
#include "httpd/manager.hpp"
#include "httpd/provider.hpp"
#include "httpd/request.hpp"
#include "httpd/startup.hpp"
#include "httpd/status.hpp"
#include "httpd/trial.hpp"

extern "C" {
#include "mod_status.h"
}

namespace {

void register_hooks(apr_pool_t* pool) noexcept {
    using namespace lbsticky;
    static const char* const after_mod_proxy_balancer[] = {"mod_proxy_balancer.c", nullptr};

    ap_register_provider(pool, PROXY_LBMETHOD, "sticky", "0", &provider);
    register_manager_filters();
    register_filters();
    register_trial_filter();

    // At the start. find_mod_proxy() also registers Request::pre_request, the first hook that a request meets.
    ap_hook_pre_config(find_mod_proxy, nullptr, nullptr, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_configuration, nullptr, nullptr, APR_HOOK_LAST);
    ap_hook_post_config(prepare_balancers, after_mod_proxy_balancer, nullptr, APR_HOOK_LAST);

    // Each process counts in a column of its own, which its parent clears.
    ap_hook_child_init(begin_to_count, nullptr, nullptr, APR_HOOK_MIDDLE);
    ap_hook_child_init(open_stores, nullptr, nullptr, APR_HOOK_MIDDLE);
    ap_hook_child_status(clear_what_ended, nullptr, nullptr, APR_HOOK_MIDDLE);

    APR_OPTIONAL_HOOK(proxy, request_status, Request::request_status, nullptr, nullptr, APR_HOOK_REALLY_FIRST);

    ap_hook_insert_error_filter(Request::insert_error_filter, nullptr, nullptr, APR_HOOK_MIDDLE);
    ap_hook_insert_filter(Request::insert_filter, nullptr, nullptr, APR_HOOK_MIDDLE);

    // To show the state: in balancer-manager, to monitoring systems, in mod_status.
    ap_hook_insert_filter(insert_manager_filters, nullptr, nullptr, APR_HOOK_LAST);
    ap_hook_handler(refresh_load, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(answer_with_status, nullptr, nullptr, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ap, status_hook, add_to_server_status, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace

extern "C" {
AP_DECLARE_MODULE(lbmethod_sticky) = {
    STANDARD20_MODULE_STUFF,
    lbsticky::create_settings,  // per-directory configuration: <Proxy "balancer://…">
    nullptr,
    nullptr,
    nullptr,
    lbsticky::directives,
    register_hooks,
    0,
};
}
