// What names a worker wherever a name is needed that every front end gives it.
#pragma once

#include <string>

#include "core/worker.hpp"

namespace lbsticky {

// The worker's route; for a worker without one, 16 hex digits made from its URL. It depends on the worker alone,
// never on its place among others.
//
// The digits hide nothing: whoever knows what addresses look like finds `http://10.x.y.z:8080` in half a second by
// trying. A key would have to be the same on all front ends and for all time, and there is none: secrets are changed.
// Who minds gives the worker a route, or the balancer a secret, under which clients see a token of the id instead.
// Throws std::bad_alloc.
std::string route_id(const Worker& worker);

// The same for the balancer's own cookie: a route that may not stand in a cookie counts as none. Throws std::bad_alloc.
std::string cookie_id(const Worker& worker);

}  // namespace lbsticky
