// What names a worker wherever a name is needed that every front end gives it.
#pragma once

#include <string>

#include "core/worker.hpp"

namespace lbsticky {

// The worker's route; for a worker without one, 16 hex digits made from its URL. It depends on the worker alone,
// never on its place among others. Throws std::bad_alloc.
std::string route_id(const Worker& worker);

// The same for the balancer's own cookie: a route that may not stand in a cookie counts as none. Throws std::bad_alloc.
std::string cookie_id(const Worker& worker);

}  // namespace lbsticky
