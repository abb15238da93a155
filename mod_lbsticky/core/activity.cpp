#include "core/activity.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace lbsticky {

static_assert(std::is_standard_layout_v<Activity> && std::is_trivially_destructible_v<Activity>);
static_assert(Activity::Cell::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free,
              "processes cannot share an atomic with a lock");

std::uint32_t Activity::sessions(std::uint32_t now) const noexcept {
    constexpr double most = 1e9;  // where a sketch is full, its estimate is infinite
    return static_cast<std::uint32_t>(std::lround(std::min(sessions_.estimate(slice_at(now)), most)));
}

std::uint32_t Activity::sessions_and_placed(std::uint32_t now) noexcept {
    std::uint64_t word = estimated_.load(std::memory_order_relaxed);
    // Requests do not come in the order of their times: for one that is a little late, it is new enough.
    constexpr std::uint32_t a_little = 60;
    const auto ahead = static_cast<std::uint32_t>(word >> 32) - now;
    if (ahead > a_little) {
        word = std::uint64_t{now} << 32 | sessions(now);
        estimated_.store(word, std::memory_order_relaxed);
    }
    return static_cast<std::uint32_t>(word);
}

}  // namespace lbsticky
