// The lbmethod "sticky".
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// What is registered as PROXY_LBMETHOD "sticky".
extern const proxy_balancer_method provider;

// Whether a balancer has this method now. It can be changed in balancer-manager.
inline bool is_ours(const proxy_balancer& balancer) noexcept {
    return balancer.lbmethod == &provider;
}

}  // namespace lbsticky
