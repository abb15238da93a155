// Gathers the state of balancers, to be shown.
#pragma once

#include <optional>
#include <vector>

#include "core/report.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The state of a balancer now. Nothing if it has another method; also nothing, with a line in the error log, if it
// cannot be read: no memory, no mutex, damaged shared memory. Takes the balancer's thread mutex, and makes one pass
// over its workers, and one over the table of learned sessions.
std::optional<BalancerReport> report_of(proxy_balancer& balancer, server_rec* server, const request_rec* r) noexcept;

// The same without learned sessions, and without that pass.
std::optional<BalancerReport> report_without_learned_of(proxy_balancer& balancer, server_rec* server,
                                                        const request_rec* r) noexcept;

// The state of each balancer that a server knows of. Throws std::bad_alloc.
std::vector<BalancerReport> reports_known_to(const server_rec* asked, const request_rec* r);

}  // namespace lbsticky
