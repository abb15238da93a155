// The lbmethod "sticky".
#pragma once

#include <cstring>

#include "httpd/apache.hpp"

namespace lbsticky {

// What is registered as PROXY_LBMETHOD "sticky".
extern const proxy_balancer_method provider;

// Whether a balancer has this method now: it can be changed in balancer-manager. Asks shared memory, since a process
// updates balancer.lbmethod only with the next request for the balancer.
inline bool is_ours(const proxy_balancer& balancer) noexcept {
    return std::strcmp(balancer.s->lbpname, provider.name) == 0;
}

}  // namespace lbsticky
