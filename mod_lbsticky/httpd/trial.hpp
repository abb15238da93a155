// One request tries a worker whose error may be over: its time in error (retry=) is.
#pragma once

#include <cstdint>

#include "core/activity.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// Whether a worker may serve again that mod_proxy has put into error, and how.
enum class Comeback {
    none,    // it is not in error, or its time is not over, or somebody tries it
    whole,   // all at once, as ever: it has retry=0 or status=+I, or cannot serve for another reason anyway
    by_one,  // if one request says so that has tried it
};

// How a worker may come back now. Any thread may call it at any time; reads the clock, but for workers that are not in
// error.
Comeback comeback_of(const proxy_worker& worker, const Activity* activity) noexcept;

// Ends a trial of the worker that is overdue: without an answer it is in error for another `retry=`. `start` counts the
// starts of the server. Any thread may call it at any time; reads the clock if a trial is under way.
void end_overdue_trial(proxy_worker& worker, Activity& activity, std::uint16_t start) noexcept;

// The trial of a worker by a request, from when it is chosen until it has an answer. One thread at a time.
class Trial {
public:
    Trial() = default;

    // Begins one, unless somebody else has, and takes the error from the worker then, as far as mod_proxy knows; see
    // is_under_way(). It is overdue after the worker's connection timeout, or five seconds if that is longer.
    Trial(const proxy_balancer& balancer, proxy_worker& worker, Activity& activity, std::uint16_t start,
          request_rec* r) noexcept;

    bool is_under_way() const noexcept { return ticket_ != 0; }

    // The request goes to the worker: from the answer's header on it serves again. Must outlive the request.
    void expect_answer(request_rec* r) noexcept;

    // The worker has answered; also one that is not expected to any more. Whoever comes next finds it in service.
    void answered(const request_rec* r) noexcept;

    // It has not, and is in error for another `retry=`.
    void failed() noexcept;

    // mod_proxy is done with the request, with that status.
    void ended(int status, const request_rec* r) noexcept;

private:
    void succeed() noexcept;
    void fail(bool from_now_on) noexcept;

    const proxy_balancer* balancer_ = nullptr;
    proxy_worker* worker_ = nullptr;
    Probe* probe_ = nullptr;
    std::uint64_t ticket_ = 0;
};

// Registers the output filter. For register_hooks.
void register_trial_filter() noexcept;

}  // namespace lbsticky
