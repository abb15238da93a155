// What a decision leaves behind for those who look: environment, notes, log line, counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "httpd/apache.hpp"
#include "httpd/decision.hpp"

namespace lbsticky {

// What counts a request when it has ended, for the worker that was asked last; null: nothing.
struct Tally {
    std::atomic<std::uint64_t>* served = nullptr;
    std::atomic<std::uint64_t>* moved = nullptr;  // that it had to move

    void count() const noexcept {
        if (served) served->fetch_add(1, std::memory_order_relaxed);
        if (moved) moved->fetch_add(1, std::memory_order_relaxed);
    }
};

// Makes a decision known: the variables and notes of the request, its line in the debug log, what is counted at once.
// `cookies` is all of its Cookie headers; `again`: another worker was asked for this request before. Returns what is to
// be counted when the request has ended.
Tally make_known(const Decision& decision, request_rec* r, std::string_view cookies, bool again) noexcept;

// Notes that a request has ended. Of a draining worker it is quiet from then on only: whoever was served for longer
// than that, or began a session with that request, may ask again.
void note_end(const Decision& decision) noexcept;

// Notes that the worker of a decision has made a session: with its first request it had no id that could be counted,
// and where new sessions go by their number the next one would go to the same worker. `id` has no route.
void note_given_session(const Decision& decision, std::string_view id) noexcept;

}  // namespace lbsticky
