// The name of a worker that is the same on every front end.
#pragma once

#include <string>
#include <string_view>

namespace lbsticky {

// Of the worker with that URL and route: the route; without one (empty), 16 hex digits made from the URL. It depends on
// nothing else, as the worker's position among others.
//
// The digits do not hide the URL: whoever tries all of `http://10.x.y.z:8080` finds it in half a second. A secret key
// in the hash would have to be the same on all front ends and forever, but secrets are changed. To hide the URL, give
// the worker a route, or the balancer a secret: clients then see a token of the id.
//
// Throws std::bad_alloc.
std::string route_id(std::string_view url, std::string_view route);

// The same for the balancer's own cookie: a route that is not allowed in a cookie counts as none. Throws
// std::bad_alloc.
std::string cookie_id(std::string_view url, std::string_view route);

}  // namespace lbsticky
