// When to leave somebody alone who fails, and for how long.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace lbsticky {

// A circuit breaker. It opens after three failures in a row, for 1 s; then one may try, and each try that fails doubles
// the time, up to 30 s. If it opens again within 30 s of having closed, it goes on from the time it had come to:
// somebody who comes and goes is tried less and less. One thread at a time; throws nothing; all of it is O(1).
class Breaker {
public:
    using Clock = std::chrono::steady_clock;
    using Time = Clock::time_point;

    static constexpr unsigned enough = 3;  // failures in a row
    static constexpr std::chrono::seconds shortest{1};
    static constexpr std::chrono::seconds longest{30};

    bool is_open() const noexcept { return until_.has_value(); }

    // When one may try again, where it is open.
    Time next_try() const noexcept { return until_.value_or(Time{}); }

    // Whether one may try.
    bool allows(Time now) const noexcept { return !until_ || *until_ <= now; }

    // Somebody tried in vain. `counts_as_enough`: as if it were the third time. Returns whether it has opened by that.
    bool failed(Time now, bool counts_as_enough = false) noexcept {
        if (until_) {
            delay_ = std::min(2 * delay_, longest);
            until_ = now + delay_;
            return false;
        }
        ++failures_;
        if (failures_ < enough && !counts_as_enough) return false;
        delay_ = closed_at_ && now - *closed_at_ < longest ? std::min(2 * delay_, longest) : shortest;
        until_ = now + delay_;
        return true;
    }

    // Somebody tried with success. Returns whether it has closed by that.
    bool succeeded(Time now) noexcept {
        failures_ = 0;
        if (!until_) return false;
        until_.reset();
        closed_at_ = now;
        return true;
    }

private:
    unsigned failures_ = 0;  // in a row, as long as it is closed
    std::chrono::seconds delay_{shortest};
    std::optional<Time> until_;  // not set: closed
    std::optional<Time> closed_at_;
};

}  // namespace lbsticky
