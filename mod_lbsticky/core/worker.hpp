// One worker (a member of a balancer) at one moment, as plain data.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lbsticky {

// A length of time; or a time, since a moment before anything happened, by a clock that all processes share and nobody
// sets.
using Milliseconds = std::uint64_t;

// What httpd's status says of a worker.
struct Status {
    bool usable = true;     // initialised; not disabled, stopped, in error, or unhealthy
    bool draining = false;  // keeps its own sessions, gets no others
    bool disabled = false;
    bool stopped = false;
    bool in_error = false;
    bool unhealthy = false;   // by mod_proxy_hcheck
    bool standby = false;     // serves when nobody else of its set can
    bool spare = false;       // stands in, one for one, for workers of its set that cannot serve
    bool recovering = false;  // came into service a while ago, and is to have a part of its share (LBStickySlowStart)
    bool probing = false;     // in error still, but for one request that tries it
    bool drained = false;     // draining, and nobody needs it any more (LBStickyDrain)

    // Whether a failure, and nothing else, keeps it from serving.
    bool failing() const noexcept { return !usable && (in_error || unhealthy) && !disabled && !stopped; }

    bool operator==(const Status&) const = default;
};

struct StatusWord {
    std::string_view word;
    bool Status::*flag;
};

// The word for each flag, in the order in which they are shown.
inline constexpr std::array<StatusWord, 11> status_words{{{"usable", &Status::usable},
                                                          {"draining", &Status::draining},
                                                          {"disabled", &Status::disabled},
                                                          {"stopped", &Status::stopped},
                                                          {"in_error", &Status::in_error},
                                                          {"unhealthy", &Status::unhealthy},
                                                          {"standby", &Status::standby},
                                                          {"spare", &Status::spare},
                                                          {"recovering", &Status::recovering},
                                                          {"probing", &Status::probing},
                                                          {"drained", &Status::drained}}};

class Activity;

struct Worker : Status {
    std::string url;               // "http://127.0.0.1:8081"
    std::string route;             // route=, empty where there is none
    std::string redirect;          // redirect=, the route that takes over its sessions
    std::vector<std::string> ids;  // what clients know it by, if they do: they are given the first
    std::uint32_t factor = 100;    // lbfactor, in hundredths: httpd allows 100 to 10000
    int lbset = 0;
    Milliseconds in_service_since = 0;  // of one that is recovering
    bool is_drain_over = false;         // it is draining, and its sessions are to be moved
    Activity* activity = nullptr;       // what it does over time, shared by all processes; null: nobody knows

    bool operator==(const Worker&) const = default;
};

}  // namespace lbsticky
