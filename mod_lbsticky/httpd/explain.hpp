// Where a request would go now, and why.
#pragma once

#include "core/explanation.hpp"
#include "httpd/apache.hpp"
#include "httpd/balancer.hpp"

namespace lbsticky {

// Explains where a GET of that URL (path and query) would go with the headers and the client's address of `asking`, by
// the decision that a request gets. It draws no ticket, counts nothing, and asks neither a member nor a store. Takes
// the balancer's thread mutex; one pass over the members that are told of. Throws what std::exception is the base of.
Explanation explain(Balancer& own, const request_rec& asking, const char* url);

}  // namespace lbsticky
