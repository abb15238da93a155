// The state of balancers for monitoring systems and for mod_status.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// handler hook, for `SetHandler lbsticky-status`: answers GET (and HEAD) with the state of the balancers that the
// server knows of (reports_known_to()). The format is Prometheus' text format, OpenMetrics if the client prefers it
// (Accept), or JSON (?format=json). To ?drained=BALANCER&member=URL the answer is 200 if that member is drained, else
// 409 and what is missing, or 404.
int answer_with_status(request_rec* r) noexcept;

// mod_status' hook: adds the balancers of all servers to its page or, with AP_STATUS_SHORT (?auto), to its lines.
int add_to_server_status(request_rec* r, int flags) noexcept;

}  // namespace lbsticky
