// balancer-manager: changes made there take effect at once, Load is up to date, and panels show session persistence.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// Registers the output filters that insert_manager_filters() uses. For register_hooks.
void register_manager_filters() noexcept;

// insert_filter hook. One filter puts a panel under each balancer that has this method; all else in the page passes
// unchanged. Another one announces to all processes, before a byte of the answer leaves, that something may have
// changed: every request that arrives after the answer sees the change.
void insert_manager_filters(request_rec* r) noexcept;

// handler hook, before balancer-manager's own: sets lbstatus of each worker, which the manager shows as "Load", to the
// picks that the rotation owes the worker, in hundredths. Requests do not keep it up to date, since that would slow
// them. Declines.
int refresh_load(request_rec* r) noexcept;

}  // namespace lbsticky
