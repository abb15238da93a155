// The name of a worker that is the same on every front end.
#pragma once

#include <string>

#include "core/worker.hpp"

namespace lbsticky {

// The worker's route; for a worker without one, 16 hex digits made from its URL. It depends on the worker alone, never
// on its position among others.
//
// The digits do not hide the URL: whoever tries all of `http://10.x.y.z:8080` finds it in half a second. A secret key
// in the hash would have to be the same on all front ends and forever, but secrets are changed. To hide the URL, give
// the worker a route, or the balancer a secret: clients then see a token of the id.
//
// Throws std::bad_alloc.
std::string route_id(const Worker& worker);

// The same for the balancer's own cookie: a route that is not allowed in a cookie counts as none. Throws
// std::bad_alloc.
std::string cookie_id(const Worker& worker);

}  // namespace lbsticky
