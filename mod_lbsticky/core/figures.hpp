// The numbers of a worker in a report, each of them once: what machines know it by, what it says, and where it stands.
// Whoever shows a report goes through this table, and through that of balancer_counts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/report.hpp"

namespace lbsticky {

// What is known of a worker now: `name` in JSON, `xml` in XML, which leaves out what has none, lbsticky_METRIC in the
// metrics, where `none` stands for a number that it does not have.
struct WorkerFigure {
    std::string_view name;
    std::string_view xml;
    std::string_view metric;
    std::string_view none;
    std::string_view help;
    std::optional<std::uint64_t> (*number)(const WorkerReport&);
};

template <auto member>
std::optional<std::uint64_t> of_worker(const WorkerReport& worker) {
    return worker.*member;
}

inline constexpr std::array<WorkerFigure, 7> worker_figures{{
    {"busy", "", "worker_busy", "", "Requests that a worker is serving now, as mod_proxy counts them.",
     of_worker<&WorkerReport::busy>},
    {"in_flight", "in_flight", "in_flight", "", "Requests that a worker is serving now, in all child processes.",
     of_worker<&WorkerReport::in_flight>},
    {"sessions", "sessions", "sessions", "",
     "Sessions that a worker served in the last ten to fifteen minutes, estimated.",
     of_worker<&WorkerReport::sessions>},
    {"last_sticky_request_age_seconds", "last_sticky_request_age", "last_sticky_request_age_seconds", "+Inf",
     "Time since the last request of a session that belongs to the worker; +Inf if there was none.",
     of_worker<&WorkerReport::sticky_age>},
    {"status_age_seconds", "status_age", "status_age_seconds", "+Inf",
     "Time since a worker came into service or went out of it, or began to drain; +Inf if it never has.",
     of_worker<&WorkerReport::status_age>},
    {"draining_seconds", "draining_seconds", "draining_seconds", "0",
     "Time since a worker began to drain; 0 if it is not draining.", of_worker<&WorkerReport::draining_age>},
    {"drain_deadline_seconds", "drain_deadline_seconds", "drain_deadline_seconds", "+Inf",
     "Time until the sessions of a worker are moved that is draining; +Inf if they are not to be.",
     of_worker<&WorkerReport::deadline_left>},
}};

}  // namespace lbsticky
