#include "core/session.hpp"

#include <algorithm>

namespace lbsticky {
namespace {

// If the piece is `name=value` with a value: that value.
std::optional<std::string_view> value_of(std::string_view piece, std::string_view name) noexcept {
    if (piece.size() < name.size() + 2 || piece[name.size()] != '=' || !piece.starts_with(name)) return std::nullopt;
    return piece.substr(name.size() + 1);
}

// A piece of a query ends at any of these: `&` as forms have it, `;` as W3C recommended once, and `?` as in URLs that
// were put together carelessly.
bool ends_pair(char c) noexcept {
    return c == '&' || c == ';' || c == '?';
}

}  // namespace

std::optional<SessionName> parse_session_name(std::string_view text) noexcept {
    const auto bar = text.find('|');
    const std::string_view cookie = text.substr(0, bar);
    const std::string_view parameter = bar == std::string_view::npos ? cookie : text.substr(bar + 1);
    if (!is_cookie_name(cookie) || !is_cookie_name(parameter) || parameter.find('|') != std::string_view::npos)
        return std::nullopt;
    return SessionName{cookie, parameter};
}

std::optional<std::string_view> find_parameter(std::string_view url, std::string_view name) noexcept {
    if (name.empty()) return std::nullopt;
    const auto question = std::min(url.find('?'), url.size());
    const std::string_view path = url.substr(0, question);
    for (auto at = path.find(';'); at != std::string_view::npos; at = path.find(';', at + 1)) {
        const std::string_view rest = path.substr(at + 1);
        const auto end = std::find_if(rest.begin(), rest.end(), [](char c) { return c == ';' || c == '/'; });
        if (const auto value = value_of({rest.begin(), end}, name)) return value;
    }
    for (std::string_view query = url.substr(question); !query.empty();) {
        query.remove_prefix(1);  // what ended the piece before
        const std::string_view piece(query.begin(), std::find_if(query.begin(), query.end(), ends_pair));
        if (const auto value = value_of(piece, name)) return value;
        query.remove_prefix(piece.size());
    }
    return std::nullopt;
}

RouteCandidates::RouteCandidates(std::string_view value, char separator) noexcept
    : rest_(value), separator_(separator), whole_(separator == '\0' && value.size() <= longest_route) {
    // One byte more than a route can have: the separator before the longest of them.
    if (rest_.size() > longest_route + 1) rest_.remove_prefix(rest_.size() - longest_route - 1);
}

std::optional<std::string_view> RouteCandidates::next() noexcept {
    if (separator_ == '\0') {
        if (!whole_) return std::nullopt;
        whole_ = false;
        return rest_;
    }
    const auto at = rest_.find(separator_);
    if (at == std::string_view::npos || at + 1 == rest_.size()) return std::nullopt;
    rest_.remove_prefix(at + 1);
    return rest_;
}

std::string shortened(std::string_view id) {
    const std::size_t shown = std::min<std::size_t>(4, id.size() / 2);
    return std::string(id.substr(0, shown)) + "...(" + std::to_string(id.size()) + ")";
}

}  // namespace lbsticky
