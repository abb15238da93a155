// A balancer's state in balancer-manager's page.
#pragma once

#include <string>

#include "core/report.hpp"

namespace lbsticky {

// For its page: an HTML fragment in ASCII. The first one of a page needs `with_style`, the style sheet.
// Throws std::bad_alloc.
std::string panel_html(const BalancerReport& balancer, bool with_style);

// For its XML: the element <httpd:sticky>, which belongs in an <httpd:balancer>. Throws std::bad_alloc.
std::string panel_xml(const BalancerReport& balancer);

}  // namespace lbsticky
