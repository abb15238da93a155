// The state of balancers for monitoring systems and scripts.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/report.hpp"

namespace lbsticky {

enum class MetricsFormat {
    prometheus,    // text exposition format 0.0.4
    open_metrics,  // OpenMetrics 1.0.0
    json,          // an object with the version and an object for each balancer
};

// The state of all balancers in one text. Balancers are told apart by name and server alone, the workers of one by URL:
// no two may have the same. `version` is the module's. Throws std::bad_alloc.
std::string metrics(std::span<const BalancerReport> balancers, std::string_view version, MetricsFormat format);

// The Content-Type of a format.
const char* content_type(MetricsFormat format) noexcept;

}  // namespace lbsticky
