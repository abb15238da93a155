// What draining means in time: when a worker is drained, when its sessions are moved.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/worker.hpp"

namespace lbsticky {

struct Drain {
    Milliseconds deadline = 0;     // after which its sessions are moved as if it could not serve; 0: never
    Milliseconds quiet = 600'000;  // in which no session asks of a worker that is drained

    // When the sessions are moved of a worker that is draining since then; 0: never.
    Milliseconds over_at(Milliseconds since) const noexcept { return deadline == 0 ? 0 : since + deadline; }

    // Whether they are by now.
    bool is_over(Milliseconds since, Milliseconds now) const noexcept {
        return deadline != 0 && since != 0 && now >= over_at(since);
    }

    // How long it still has to be quiet: from the beginning of the drain on, for sessions that were made just before,
    // and from the last request of its sessions on (0: there was none).
    Milliseconds quiet_left(Milliseconds since, Milliseconds last_asked, Milliseconds now) const noexcept {
        const Milliseconds until = std::max(since, last_asked) + quiet;
        return now >= until ? 0 : until - now;
    }
};

// Whether a worker is drained: what is missing for that, in words; nothing: it is.
inline std::string what_drain_lacks(const Status& status, std::uint64_t in_flight, Milliseconds quiet_left) {
    if (!status.draining) return "it is not draining";
    if (in_flight != 0)
        return "it is serving " + std::to_string(in_flight) + (in_flight == 1 ? " request" : " requests");
    if (quiet_left == 0) return {};
    return "a session of its may ask within " + std::to_string((quiet_left + 999) / 1000) + " s";
}

}  // namespace lbsticky
