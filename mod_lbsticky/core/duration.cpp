#include "core/duration.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

#include "core/ascii.hpp"

namespace lbsticky {
namespace {

using std::chrono::milliseconds;

constexpr std::array<std::pair<std::string_view, milliseconds>, 6> units{{{"", std::chrono::seconds(1)},
                                                                          {"ms", milliseconds(1)},
                                                                          {"s", std::chrono::seconds(1)},
                                                                          {"m", std::chrono::minutes(1)},
                                                                          {"h", std::chrono::hours(1)},
                                                                          {"d", std::chrono::hours(24)}}};

}  // namespace

std::optional<milliseconds> parse_duration(std::string_view text, milliseconds least, milliseconds most) noexcept {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    const std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
    for (const auto& [unit, length] : units) {
        if (!equal_ignoring_case(rest, unit)) continue;
        if (number > static_cast<std::uint64_t>(most / length)) return std::nullopt;
        const milliseconds duration = static_cast<milliseconds::rep>(number) * length;
        return duration < least ? std::nullopt : std::optional(duration);
    }
    return std::nullopt;
}

std::string duration_text(std::uint64_t seconds) {
    if (seconds < 60) return std::to_string(seconds) + " s";
    if (seconds < 3600) return std::to_string(seconds / 60) + " min";
    if (seconds < 86400) return std::to_string(seconds / 3600) + " h";
    return std::to_string(seconds / 86400) + " d";
}

}  // namespace lbsticky
