// The numbers of a report, each of them once: what machines know it by, what it says, and where it stands. Whoever
// shows a report goes through these tables.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/report.hpp"

namespace lbsticky {

// What is counted for a balancer: `name` in JSON and XML, lbsticky_NAME_total in the metrics.
struct BalancerCount {
    std::string_view name;
    std::string_view help;
    std::uint64_t BalancerReport::*number;
};

inline constexpr std::array<BalancerCount, 6> balancer_counts{{
    {"refused", "Requests that were answered 503 rather than sent to another worker.", &BalancerReport::refused},
    {"cookies_issued", "Cookies of the balancer's own that clients were given.", &BalancerReport::cookies_issued},
    {"cookies_unknown", "Requests with a cookie of the balancer's own that names no worker: unknown or forged.",
     &BalancerReport::cookies_unknown},
    {"cookies_outdated",
     "Requests with a cookie of the balancer's own that was signed with another than the first secret.",
     &BalancerReport::cookies_outdated},
    {"ids_too_long", "Session ids that no route was appended to, because they would have passed 4,096 bytes.",
     &BalancerReport::ids_too_long},
    {"unknown_routes", "Requests whose session id carries no route of a worker.", &BalancerReport::unknown_routes},
}};

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
