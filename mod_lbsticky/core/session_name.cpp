#include "core/session_name.hpp"

namespace lbsticky {
namespace {

// A `*` may stand in the name of a cookie, but who writes it here means any name that begins so.
bool may_be_name(std::string_view text) noexcept {
    return is_cookie_name(text) && text.find_first_of("|*") == std::string_view::npos;
}

}  // namespace

std::string text_of(const SessionName& name) {
    if (name.where != Where::cookie_or_url) return std::string(name.other);
    std::string text(name.cookie);
    if (name.parameter != name.cookie) text.append("|").append(name.parameter);
    return text;
}

std::optional<SessionName> parse_session_name(std::string_view text) noexcept {
    for (const auto& [word, where] : where_words) {
        if (!text.starts_with(word)) continue;
        const std::string_view rest = text.substr(word.size());
        if (rest.empty() || (where == Where::header && !may_be_name(rest))) return std::nullopt;
        SessionName name;
        name.where = where;
        name.other = text;
        return name;
    }
    const auto bar = text.find('|');
    const std::string_view cookie = text.substr(0, bar);
    const std::string_view parameter = bar == std::string_view::npos ? cookie : text.substr(bar + 1);
    if (!may_be_name(cookie) || !may_be_name(parameter)) return std::nullopt;
    return SessionName{cookie, parameter};
}

}  // namespace lbsticky
