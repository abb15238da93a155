// One segment a balancer, the same across graceful restarts.
#pragma once

#include "core/shared_state.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The shared state of a balancer: the one it had before a graceful restart, so that both generations of children use
// the same; a new one at the first start, and where the members in the configuration changed (rotation and counts are
// taken over then). Has all its current workers' slots claimed. Throws std::runtime_error if there is no memory.
// For the post_config hook: the parent is single-threaded, and its children inherit what it maps.
SharedState& shared_state_for(const proxy_balancer& balancer, server_rec* server);

}  // namespace lbsticky
