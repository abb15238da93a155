// A balancer's state as a part of httpd's own pages.
#pragma once

#include <span>
#include <string>

#include "core/report.hpp"

namespace lbsticky {

// For balancer-manager's page: an HTML fragment in ASCII. The first one of a page needs `with_style`, the style sheet.
// Throws std::bad_alloc.
std::string panel_html(const BalancerReport& balancer, bool with_style);

// For balancer-manager's XML: the element <httpd:sticky>, which belongs in an <httpd:balancer>. Throws std::bad_alloc.
std::string panel_xml(const BalancerReport& balancer);

// For mod_status: a section of its page, and its lines for machines ("Key: value"). Throw std::bad_alloc.
std::string status_html(std::span<const BalancerReport> balancers);
std::string status_lines(std::span<const BalancerReport> balancers);

}  // namespace lbsticky
