// One worker (a member of a balancer) at one moment, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lbsticky {

struct Worker {
    std::string url;                   // "http://127.0.0.1:8081"
    std::string route;                 // route=, empty where there is none
    std::string redirect;              // redirect=, the route that takes over its sessions
    std::vector<std::string> cookies;  // values of the balancer's own cookie that name it, the one that is given first
    std::uint32_t factor = 100;        // lbfactor, in hundredths: httpd allows 100 to 10000
    int lbset = 0;
    bool usable = true;     // initialised; not disabled, stopped, failed by a health check, or in error
    bool failing = false;   // not usable, for no other reason than an error or a failed health check
    bool draining = false;  // keeps its own sessions, gets no others
    bool spare = false;     // stands in, one for one, for workers of its set that cannot serve
    bool standby = false;   // serves when nothing else can

    bool operator==(const Worker&) const = default;
};

}  // namespace lbsticky
