// So many a second, and no more.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace lbsticky {

// A token bucket: `rate` a second on average, at most that many at once. One thread at a time; O(1); throws nothing.
class Allowance {
public:
    using Time = std::chrono::steady_clock::time_point;

    explicit Allowance(std::uint32_t rate) noexcept : rate_(rate), tokens_(rate) {}

    // Takes one; false if there is none.
    bool take(Time now) noexcept {
        const std::chrono::duration<double> passed = std::max(now, last_) - last_;
        last_ = std::max(now, last_);
        tokens_ = std::min<double>(rate_, tokens_ + passed.count() * rate_);
        if (tokens_ < 1) return false;
        tokens_ -= 1;
        return true;
    }

private:
    double rate_;
    double tokens_;
    Time last_{};  // the bucket is full: it does not matter how long ago that was
};

}  // namespace lbsticky
