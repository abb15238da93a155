#include "core/cookie.hpp"

namespace lbsticky {
namespace {

bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t';
}

std::string_view without_blanks_around(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

// Takes what stands before the first `separator` off the text, and the separator; all of it if there is none.
std::string_view take_until(char separator, std::string_view& text) noexcept {
    const std::string_view piece = text.substr(0, text.find(separator));
    text.remove_prefix(piece.size() < text.size() ? piece.size() + 1 : piece.size());
    return piece;
}

std::string_view unquoted(std::string_view value) noexcept {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') return value.substr(1, value.size() - 2);
    return value;
}

}  // namespace

std::optional<Cookie> CookieReader::next() noexcept {
    // Hardly any header has a comma: looking for one character at a time lets memchr() do the work.
    while (!rest_.empty() || !pairs_.empty()) {
        if (pairs_.empty()) pairs_ = take_until(';', rest_);
        const std::string_view pair = take_until(',', pairs_);

        const auto equals = pair.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string_view name = without_blanks_around(pair.substr(0, equals));
        if (name.empty()) continue;
        return Cookie{name, unquoted(without_blanks_around(pair.substr(equals + 1)))};
    }
    return std::nullopt;
}

bool is_cookie_name(std::string_view name) noexcept {
    constexpr std::string_view punctuation = "!#$%&'*+-.^_`|~";
    for (const char c : name) {
        const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alphanumeric && punctuation.find(c) == std::string_view::npos) return false;
    }
    return !name.empty();
}

}  // namespace lbsticky
