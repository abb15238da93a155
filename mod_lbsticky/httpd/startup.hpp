// The hooks that run when httpd starts or is restarted, in this order.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// pre_config: looks up mod_proxy's functions and registers the hook for requests. httpd does not start without
// mod_proxy, or with one that is older than the headers that this module was built with.
int find_mod_proxy(apr_pool_t* config, apr_pool_t* log, apr_pool_t* temporary) noexcept;

// check_config: gives balancers of virtual hosts the method that they inherit. With `httpd -t`, which runs no later
// hook, also warns of what cannot work as written. Any other start does that later: if it leaves its terminal, it has
// no error log yet.
int check_configuration(apr_pool_t* config, apr_pool_t* log, apr_pool_t* temporary, server_rec* main_server) noexcept;

// post_config, after mod_proxy_balancer's: warns of what cannot work as written, and makes a Balancer for each
// balancer, whatever its method: that can be changed in balancer-manager at any time.
int prepare_balancers(apr_pool_t* config, apr_pool_t* log, apr_pool_t* temporary, server_rec* main_server) noexcept;

// child_init: opens the stores of learned sessions for this process. Nobody is connected to yet.
void open_stores(apr_pool_t* process, server_rec* main_server) noexcept;

}  // namespace lbsticky
