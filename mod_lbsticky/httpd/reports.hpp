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

// Those of all balancers that a server knows of, each once. A virtual host knows of its own and the main server's,
// which it may use; the main server of those of all hosts. Throws std::bad_alloc.
std::vector<BalancerReport> reports_known_to(const server_rec* asked, const request_rec* r);

}  // namespace lbsticky
