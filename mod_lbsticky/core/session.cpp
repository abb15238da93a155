#include "core/session.hpp"

#include <algorithm>

namespace lbsticky {
namespace {

// In a query pairs end at any of these: `&` as forms have it, `;` as W3C recommended once, and `?` as in URLs that were
// put together carelessly.
constexpr std::string_view between_pairs = "&;?";

// A `*` may stand in the name of a cookie, but who writes it here means any name that begins so.
bool may_be_name(std::string_view text) noexcept {
    return is_cookie_name(text) && text.find_first_of("|*") == std::string_view::npos;
}

}  // namespace

std::optional<SessionName> parse_session_name(std::string_view text) noexcept {
    const auto bar = text.find('|');
    const std::string_view cookie = text.substr(0, bar);
    const std::string_view parameter = bar == std::string_view::npos ? cookie : text.substr(bar + 1);
    if (!may_be_name(cookie) || !may_be_name(parameter)) return std::nullopt;
    return SessionName{cookie, parameter};
}

std::optional<std::string_view> find_parameter(std::string_view url, std::string_view name) noexcept {
    if (name.empty()) return std::nullopt;
    // Looks for the name, then at what stands around it: most URLs do not hold it.
    std::size_t question = 0;
    for (auto at = url.find(name); at != std::string_view::npos; at = url.find(name, at + name.size())) {
        const std::size_t value = at + name.size() + 1;
        if (at == 0 || value >= url.size() || url[value - 1] != '=') continue;
        if (question == 0) question = std::min(url.find('?'), url.size());
        const bool in_path = at < question;
        const std::string_view separators = in_path ? ";" : between_pairs;
        if (separators.find(url[at - 1]) == std::string_view::npos) continue;
        if (!in_path && name.find('&') != std::string_view::npos) continue;
        const auto end = url.find_first_of(in_path ? ";/?" : between_pairs, value);
        if (end != value) return url.substr(value, end - value);
    }
    return std::nullopt;
}

std::string shortened(std::string_view id) {
    const std::size_t shown = std::min<std::size_t>(4, id.size() / 2);
    return std::string(id.substr(0, shown)) + "...(" + std::to_string(id.size()) + ")";
}

}  // namespace lbsticky
