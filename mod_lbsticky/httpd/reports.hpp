// The state of balancers, gathered for those who show it.
#pragma once

#include <vector>

#include "core/report.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The state of a balancer that has this method, as it is now. Takes the balancer's thread mutex, and one pass over its
// workers. Throws std::bad_alloc, std::runtime_error if the mutex cannot be had or shared memory is damaged.
BalancerReport report_of(proxy_balancer& balancer, server_rec* server);

// Those of all balancers that have this method, of all servers; each once. What cannot be reported is logged and left
// out. Throws std::bad_alloc.
std::vector<BalancerReport> all_reports(request_rec* r);

}  // namespace lbsticky
