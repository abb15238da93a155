// The memory that processes share. It stays the same over graceful restarts.
#pragma once

#include <span>
#include <vector>

#include "core/shared_state.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The shared states of all balancers of a new configuration, in their order. Over a graceful restart a balancer keeps
// its state, so that both generations of children use the same. It gets a new one at the first start, and if its
// members in the configuration changed; the new one then takes over rotation and counts. All workers have claimed their
// slots. Memory that no balancer uses any more is given back.
//
// Balancers of other methods have states too: a method can be changed in balancer-manager, and children that are
// running cannot share new memory. If there is no memory for these states, they are not intact(), and a warning says
// so. Throws std::runtime_error if there is none for balancers of this method; throws std::bad_alloc.
//
// For the post_config hook: the parent is single-threaded, and its children inherit what it maps.
std::vector<SharedState*> shared_states_for(std::span<proxy_balancer* const> balancers, server_rec* main_server);

}  // namespace lbsticky
