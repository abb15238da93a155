#include "httpd/mod_proxy_functions.hpp"

#include <dlfcn.h>

namespace lbsticky {

ModProxyFunctions mod_proxy;

bool look_up_mod_proxy() noexcept {
    mod_proxy = {};
    mod_proxy.record = ap_find_linked_module("mod_proxy.c");
    mod_proxy.hook_pre_request =
        reinterpret_cast<decltype(&proxy_hook_pre_request)>(dlsym(RTLD_DEFAULT, "proxy_hook_pre_request"));
    mod_proxy.run_pre_request =
        reinterpret_cast<decltype(&proxy_run_pre_request)>(dlsym(RTLD_DEFAULT, "proxy_run_pre_request"));
    mod_proxy.get_balancer =
        reinterpret_cast<decltype(&ap_proxy_get_balancer)>(dlsym(RTLD_DEFAULT, "ap_proxy_get_balancer"));
    mod_proxy.sync_balancer =
        reinterpret_cast<decltype(&ap_proxy_sync_balancer)>(dlsym(RTLD_DEFAULT, "ap_proxy_sync_balancer"));
    mod_proxy.port_of_scheme =
        reinterpret_cast<decltype(&ap_proxy_port_of_scheme)>(dlsym(RTLD_DEFAULT, "ap_proxy_port_of_scheme"));
    mod_proxy.retry_worker = APR_RETRIEVE_OPTIONAL_FN(ap_proxy_retry_worker);
    mod_proxy.get_best_worker = APR_RETRIEVE_OPTIONAL_FN(proxy_balancer_get_best_worker);
    return mod_proxy.record && mod_proxy.hook_pre_request && mod_proxy.run_pre_request && mod_proxy.get_balancer &&
           mod_proxy.sync_balancer && mod_proxy.port_of_scheme && mod_proxy.retry_worker && mod_proxy.get_best_worker &&
           ap_find_linked_module("mod_proxy_balancer.c");
}

proxy_server_conf* proxy_configuration(const server_rec* server) noexcept {
    return static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, mod_proxy.record));
}

}  // namespace lbsticky
