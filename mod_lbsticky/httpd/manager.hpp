// balancer-manager: what is changed there holds at once, what it shows is true, and it shows what stickiness does.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// Registers the output filters that insert_manager_filters() uses. For register_hooks.
void register_manager_filters() noexcept;

// insert_filter hook. One filter puts a panel under each balancer that has this method; what the page has without it
// passes byte for byte. Another one announces to all processes, before a byte of the answer leaves, that something may
// have been changed: so every request that arrives after the answer sees it.
void insert_manager_filters(request_rec* r) noexcept;

// handler hook, before balancer-manager's own: brings lbstatus up to date, which it shows as "Load" and which no
// request pays for. It then is how many picks the rotation owes a worker, in hundredths. Declines.
int refresh_load(request_rec* r) noexcept;

}  // namespace lbsticky
