// Keys that a store did not have a moment ago.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>

namespace lbsticky {

// Remembers 2,048 of them for 3 s, each in the one place that its hash gives it: the newer takes the place of an older.
// A key that is taken for another (64 bits are compared) is not asked for in that time, and nothing else. 32 KB. One
// thread at a time; O(1); throws nothing.
class RecentMisses {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds memory{3};

    void remember(std::string_view key, Time now) noexcept { place_of(key) = {hash(key), now + memory}; }

    bool contains(std::string_view key, Time now) const noexcept {
        const Place& place = places_[hash(key) % places_.size()];
        return place.hash == hash(key) && now < place.until;
    }

    void forget(std::string_view key) noexcept {
        if (place_of(key).hash == hash(key)) place_of(key) = {};
    }

private:
    struct Place {
        std::size_t hash = 0;
        Time until = Time::min();
    };

    static std::size_t hash(std::string_view key) noexcept { return std::hash<std::string_view>{}(key); }
    Place& place_of(std::string_view key) noexcept { return places_[hash(key) % places_.size()]; }

    std::array<Place, 2048> places_{};
};

}  // namespace lbsticky
