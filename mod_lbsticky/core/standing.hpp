// What a worker is, for people who have to decide something: in a word, in a phrase, and who is to be looked at first.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/report.hpp"

namespace lbsticky {

// In the order in which somebody should look at them; from `standby` on there is no reason to. The first that applies
// is what a worker is, but for those that somebody has disabled or stopped: that they are, whatever else they are.
enum class Standing {
    in_error,
    unhealthy,
    not_initialized,
    probing,
    drained,
    draining,
    recovering,
    disabled,
    stopped,
    standby,
    spare,
    usable
};

// The word for each of them.
inline constexpr std::array<std::string_view, 12> standing_words{"in error",        "failed its health check",
                                                                 "not initialized", "probing",
                                                                 "drained",         "draining",
                                                                 "recovering",      "disabled",
                                                                 "stopped",         "standby",
                                                                 "spare",           "usable"};

constexpr std::string_view word_for(Standing standing) noexcept {
    return standing_words[static_cast<std::size_t>(standing)];
}

Standing standing_of(const Status& status) noexcept;

// "draining for 5 min, sessions are moved in 10 min". Throws std::bad_alloc.
std::string phrase_for(const WorkerReport& worker);

}  // namespace lbsticky
