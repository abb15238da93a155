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
    json,          // an object with the version and one object a balancer
};

// All balancers, in one text. Balancers and workers are told apart by their names alone: no two balancers of one server
// may have the same. `version` is the module's. Throws std::bad_alloc.
std::string metrics(std::span<const BalancerReport> balancers, std::string_view version, MetricsFormat format);

// The Content-Type of such a text.
const char* content_type(MetricsFormat format) noexcept;

}  // namespace lbsticky
