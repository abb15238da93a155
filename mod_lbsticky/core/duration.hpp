// How long something takes, as it is written in a configuration, and as people are told.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lbsticky {

// Reads a number of seconds, or a number with a unit: "90", "500ms", "30s", "30m", "12h", "7d"; units in any case. No
// sign, fraction or blanks. Nothing if the text is something else, or less than `least` or more than `most`, which must
// not be negative.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, std::chrono::milliseconds least,
                                                        std::chrono::milliseconds most) noexcept;

// In the largest unit that fits: "59 s", "59 min", "23 h", "9 d". Throws std::bad_alloc.
std::string duration_text(std::uint64_t seconds);

}  // namespace lbsticky
