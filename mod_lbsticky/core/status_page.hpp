// The state of all balancers in mod_status's page: a line for each.
#pragma once

#include <span>
#include <string>

#include "core/report.hpp"

namespace lbsticky {

// A section of the page: HTML in ASCII. Throws std::bad_alloc.
std::string status_html(std::span<const BalancerReport> balancers);

// The lines of the page for machines (?auto): "Key: value". Throws std::bad_alloc.
std::string status_lines(std::span<const BalancerReport> balancers);

}  // namespace lbsticky
