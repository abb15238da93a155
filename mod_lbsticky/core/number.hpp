// A number, as it is written in a configuration.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace lbsticky {

// A decimal number from `least` to `most`, which is all of the text: no sign but a minus where the type has one, no
// blanks. Nothing if the text is something else.
template <typename Number>
std::optional<Number> number_in(std::string_view text, Number least, Number most) noexcept {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
        return std::nullopt;
    return number;
}

}  // namespace lbsticky
