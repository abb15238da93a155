// httpd's headers for C++: in this order, and declared as C.
#pragma once

#include <cstdint>
#include <ctime>
#include <string_view>

#include "core/worker.hpp"

extern "C" {
// clang-format off
#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "ap_mpm.h"
#include "ap_provider.h"
#include "mod_proxy.h"
// clang-format on

// The only symbol that this module exports.
extern __attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA lbmethod_sticky_module;
}

namespace lbsticky {

// A text of httpd's; empty for a null pointer.
inline std::string_view view(const char* text) noexcept {
    return text ? std::string_view(text) : std::string_view();
}

// A length of time, as the core has it.
inline Milliseconds milliseconds(apr_interval_time_t time) noexcept {
    return static_cast<Milliseconds>(time / 1000);
}

// The same in seconds, as counts of sessions have it.
inline std::uint32_t seconds(Milliseconds time) noexcept {
    return static_cast<std::uint32_t>(time / 1000);
}

// The time by the core's clock: since a day before the machine was started. By httpd's own clock, which somebody may
// set back by an hour, sessions would not be counted for so long, nor recovering workers recover. No system call; a
// few milliseconds old.
inline Milliseconds steady_now() noexcept {
    constexpr Milliseconds a_day = 86'400'000;
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return a_day + static_cast<Milliseconds>(now.tv_sec) * 1000 + static_cast<Milliseconds>(now.tv_nsec) / 1'000'000;
}

// A worker's URL. From 2.4.53 on, httpd 2.4 cuts it short in `name` and has it whole in `name_ex`. Earlier versions
// have only `name`; in 2.5 that is long enough.
inline const char* url_of(const proxy_worker_shared& worker) noexcept {
#if MODULE_MAGIC_NUMBER_MAJOR == 20120211 && MODULE_MAGIC_NUMBER_MINOR >= 124
    return worker.name_ex;
#else
    return worker.name;
#endif
}

}  // namespace lbsticky
