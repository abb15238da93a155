// How long something takes, as it is written in a configuration.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace lbsticky {

// Reads a number of seconds, or a number with a unit: "90", "500ms", "30s", "30m", "12h", "7d"; units in any case. No
// sign, fraction or blanks. Nothing if the text is something else, or less than `least` or more than `most`, which must
// not be negative.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, std::chrono::milliseconds least,
                                                        std::chrono::milliseconds most) noexcept;

}  // namespace lbsticky
