// balancer-manager: what is changed there holds at once, and what it shows is true.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// Registers the output filter that insert_change_filter() uses. For register_hooks.
void register_change_filter() noexcept;

// insert_filter hook: before a byte of balancer-manager's answer leaves, whatever was changed is announced to all
// processes. So every request that arrives after the answer sees it.
void insert_change_filter(request_rec* r) noexcept;

// handler hook, before balancer-manager's and mod_status' own: brings lbstatus up to date, which both show as "Load"
// and which no request pays for. It then is how many picks the rotation owes a worker, in hundredths. Declines.
int refresh_load(request_rec* r) noexcept;

}  // namespace lbsticky
