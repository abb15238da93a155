// The memory that processes share, the same across graceful restarts.
#pragma once

#include <span>
#include <vector>

#include "core/shared_state.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The shared states of all balancers of a new configuration, in their order. Each is the one that the balancer had
// before a graceful restart, so that both generations of children use the same; or a new one, at the first start, and
// where the members in the configuration changed (rotation and counts are taken over then). It has the slots of all
// workers claimed. Memory that no balancer uses any more is given back.
//
// A balancer of another method has a state too, since its method can be changed in balancer-manager when there are
// children, which could not share new memory. Where there is no memory for those, their states are not intact(), and a
// warning says so; where there is none for the others, throws std::runtime_error. Throws std::bad_alloc.
//
// For the post_config hook: the parent is single-threaded, and its children inherit what it maps.
std::vector<SharedState*> shared_states_for(std::span<proxy_balancer* const> balancers, server_rec* main_server);

}  // namespace lbsticky
