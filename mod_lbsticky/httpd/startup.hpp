// What happens when httpd starts or is restarted, in this order.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// pre_config: looks up mod_proxy's functions and registers the hook for requests. Refuses to start without mod_proxy,
// and with one that is older than the headers that this module was built with.
int find_mod_proxy(apr_pool_t* config, apr_pool_t* log, apr_pool_t* temporary) noexcept;

// check_config: gives balancers of virtual hosts the method that they inherit. For `httpd -t`, which does no more than
// this, warns of what cannot work as written: a start that leaves its terminal has no error log yet.
int check_configuration(apr_pool_t* config, apr_pool_t* log, apr_pool_t* temporary, server_rec* main_server) noexcept;

// post_config, after mod_proxy_balancer's: warns of what cannot work as written, and gives each balancer its Balancer.
// All of them, whatever their method: it can be changed in balancer-manager at any time.
int prepare_balancers(apr_pool_t* config, apr_pool_t* log, apr_pool_t* temporary, server_rec* main_server) noexcept;

}  // namespace lbsticky
