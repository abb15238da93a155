// Lets the balancers of virtual hosts inherit this method.
//
// If a virtual host names a balancer of the main server, in ProxyPass for example, httpd gives it a copy. The copy has
// the same members and settings, but the default method (merge_balancers() of httpd 2.4.71). Tutorials have <Proxy>
// outside of <VirtualHost> and ProxyPass inside: nothing would be sticky.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// Gives this method to each virtual host's copy of a balancer with this method, unless the virtual host's own
// configuration names a method. For the check_config hook: the copies have been made then, and mod_proxy_balancer has
// not yet put them into shared memory.
void inherit_methods(server_rec* main_server, apr_pool_t* temporary) noexcept;

}  // namespace lbsticky
