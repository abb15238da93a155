// A length of time, as a configuration says it.
#pragma once

#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/worker.hpp"

namespace lbsticky {

// Reads `30` (seconds), `500ms`, `30s`, `30m`, `12h`, `7d`, at most a year. Nothing if it is none of these.
inline std::optional<Milliseconds> parse_duration(std::string_view text) noexcept {
    constexpr std::array<std::pair<std::string_view, Milliseconds>, 6> units{
        {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
    constexpr Milliseconds longest = Milliseconds{366} * 86'400'000;
    const char* const all = text.data() + text.size();
    Milliseconds number = 0;
    const auto [end, error] = std::from_chars(text.data(), all, number);
    if (error != std::errc()) return std::nullopt;
    const std::string_view word(end, static_cast<std::size_t>(all - end));
    for (const auto& [unit, length] : units)
        if (word == unit) return number <= longest / length ? std::optional(number * length) : std::nullopt;
    return std::nullopt;
}

}  // namespace lbsticky
