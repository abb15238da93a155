// The functions of mod_proxy that this module uses.
//
// They cannot be linked: Debian loads modules in alphabetical order, lbmethod_sticky before proxy, and httpd binds
// every symbol of a module when it loads it. So they are looked up once all modules are loaded.
#pragma once

#include <cstddef>

#include "httpd/apache.hpp"

namespace lbsticky {

struct ModProxyFunctions {
    module* record;                                      // mod_proxy's module record, to reach its configuration
    decltype(&proxy_hook_pre_request) hook_pre_request;  // registers a hook that chooses the worker of a request
    decltype(&proxy_run_pre_request) run_pre_request;    // runs these hooks
    decltype(&ap_proxy_get_balancer) get_balancer;       // the balancer that a URL names
    decltype(&ap_proxy_sync_balancer) sync_balancer;     // learns of members added by other processes
    decltype(&ap_proxy_port_of_scheme) port_of_scheme;   // the port that goes without saying
    APR_OPTIONAL_FN_TYPE(ap_proxy_retry_worker) * retry_worker;  // clears an error whose retry time has come
    APR_OPTIONAL_FN_TYPE(proxy_balancer_get_best_worker) * get_best_worker;  // httpd's own scan over all workers
};

// Valid from a successful look_up_mod_proxy() until the configuration is unloaded.
extern ModProxyFunctions mod_proxy;

// Looks up all of them; false if mod_proxy or mod_proxy_balancer is not loaded. For the pre_config hook: the parent is
// single-threaded there, and all modules are loaded.
bool look_up_mod_proxy() noexcept;

// mod_proxy's configuration of a server.
proxy_server_conf* proxy_configuration(const server_rec* server) noexcept;

// Calls `visit(proxy_balancer&)` for each balancer of one server.
template <typename Visit>
void for_each_balancer(const server_rec* server, Visit&& visit) {
    const apr_array_header_t* balancers = proxy_configuration(server)->balancers;
    // In a later httpd the elements may be larger than here.
    for (int i = 0; i < balancers->nelts; ++i)
        visit(*reinterpret_cast<proxy_balancer*>(balancers->elts + std::ptrdiff_t{i} * balancers->elt_size));
}

// Calls `visit(server_rec*)` for the main server and each virtual host with a configuration of mod_proxy of its own.
// The others have the main server's: the very same balancers.
template <typename Visit>
void for_each_proxy(server_rec* main_server, Visit&& visit) {
    visit(main_server);
    for (server_rec* host = main_server->next; host; host = host->next)
        if (proxy_configuration(host) != proxy_configuration(main_server)) visit(host);
}

// Calls `visit(proxy_balancer&, server_rec*)` for each balancer that a server knows of. A virtual host knows of its own
// balancers and of the main server's, which it may use; the main server knows of those of all hosts.
template <typename Visit>
void for_each_balancer_known_to(const server_rec* asked, Visit&& visit) {
    for_each_proxy(ap_server_conf, [&](server_rec* server) {
        if (asked->is_virtual && server->is_virtual && server != asked) return;
        for_each_balancer(server, [&](proxy_balancer& balancer) { visit(balancer, server); });
    });
}

}  // namespace lbsticky
