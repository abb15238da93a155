// The method that a virtual host's balancer inherits.
//
// A virtual host that names a balancer of the main server (in ProxyPass, say) is given one of its own by httpd: with
// the same members and all that is set for it there, but not the method, which is the default one again
// (merge_balancers() of httpd 2.4.71). Tutorials have <Proxy> outside of <VirtualHost> and ProxyPass inside: nothing
// would be sticky.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// Gives this method to each balancer of a virtual host that httpd made from one of the main server's with this method,
// unless the virtual host's own configuration names a method. For the check_config hook: virtual hosts have been merged
// then, and mod_proxy_balancer has not yet shared its balancers.
void inherit_methods(server_rec* main_server, apr_pool_t* temporary) noexcept;

}  // namespace lbsticky
