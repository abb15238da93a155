// The state of balancers for monitoring systems and for mod_status.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// handler hook, for `SetHandler lbsticky-status`: answers GET (and HEAD) with the state of the balancers that have this
// method and that the server asked knows of (reports_known_to()), as Prometheus' text format, OpenMetrics where the
// client prefers it (Accept), or JSON (?format=json).
int answer_with_status(request_rec* r) noexcept;

// mod_status' hook, which shows the whole of httpd: a section of its page or, with AP_STATUS_SHORT (?auto), lines.
int add_to_server_status(request_rec* r, int flags) noexcept;

}  // namespace lbsticky
