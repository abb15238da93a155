#include "core/cookie.hpp"

namespace lbsticky {
namespace {

std::string_view without_blanks_around(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string_view unquoted(std::string_view value) noexcept {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') return value.substr(1, value.size() - 2);
    return value;
}

}  // namespace

std::optional<Cookie> CookieReader::next() noexcept {
    while (!rest_.empty()) {
        std::size_t end = 0;
        while (end < rest_.size() && rest_[end] != ';' && rest_[end] != ',') ++end;
        const std::string_view pair = rest_.substr(0, end);
        rest_.remove_prefix(end < rest_.size() ? end + 1 : end);

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
