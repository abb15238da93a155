// What is counted for a balancer as a whole: each count has its name and its meaning here, and nowhere else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lbsticky {

enum class Count { refused, cookies_issued, cookies_unknown, cookies_outdated, ids_too_long, unknown_routes, end };

// `name` in JSON and XML, lbsticky_NAME_total in the metrics.
struct BalancerCount {
    Count which;
    std::string_view name;
    std::string_view help;
};

// In the order in which they are shown.
inline constexpr std::array<BalancerCount, static_cast<std::size_t>(Count::end)> balancer_counts{{
    {Count::refused, "refused", "Requests that were answered 503 rather than sent to another worker."},
    {Count::cookies_issued, "cookies_issued", "Cookies of the balancer's own that clients were given."},
    {Count::cookies_unknown, "cookies_unknown",
     "Requests with a cookie of the balancer's own that names no worker: unknown or forged."},
    {Count::cookies_outdated, "cookies_outdated",
     "Requests with a cookie, or a token behind a session id, that was made with another than the first secret."},
    {Count::ids_too_long, "ids_too_long",
     "Session ids that no route was appended to, because they would have passed 4,096 bytes."},
    {Count::unknown_routes, "unknown_routes", "Requests whose session id carries no route of a worker."},
}};

// A number for each Count.
template <typename Number>
struct PerCount {
    std::array<Number, balancer_counts.size()> numbers{};

    constexpr Number& operator[](Count count) noexcept { return numbers[static_cast<std::size_t>(count)]; }
    constexpr const Number& operator[](Count count) const noexcept { return numbers[static_cast<std::size_t>(count)]; }
};

static_assert(
    [] {
        for (std::size_t i = 0; i < balancer_counts.size(); ++i)
            if (balancer_counts[i].which != static_cast<Count>(i)) return false;
        return true;
    }(),
    "the table has a line for each Count, in their order");

}  // namespace lbsticky
