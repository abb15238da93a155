// The state of balancers, gathered for those who show it.
#pragma once

#include <optional>
#include <vector>

#include "core/report.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The state of a balancer as it is now; nothing if it has another method, and, with a line in the error log, if it
// cannot be read: no memory, no mutex, damaged shared memory. Takes the balancer's thread mutex, and one pass over its
// workers.
std::optional<BalancerReport> report_of(proxy_balancer& balancer, server_rec* server, const request_rec* r) noexcept;

// Those of all balancers of all servers, each once. Throws std::bad_alloc.
std::vector<BalancerReport> all_reports(request_rec* r);

}  // namespace lbsticky
