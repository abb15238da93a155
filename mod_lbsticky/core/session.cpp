#include "core/session.hpp"

#include <algorithm>

namespace lbsticky {
namespace {

// Looks for `name=value` among the pieces of `text` that `delimiters` separate; the first piece is one of them only
// if `from_start` says so. A value also ends at any of `ends`.
std::optional<std::string_view> find_pair(std::string_view text, std::string_view name, std::string_view delimiters,
                                          std::string_view ends, bool from_start) noexcept {
    std::size_t begin = 0;
    if (!from_start) {
        begin = text.find_first_of(delimiters);
        if (begin == std::string_view::npos) return std::nullopt;
        ++begin;
    }
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find_first_of(delimiters, begin), text.size());
        const std::string_view piece = text.substr(begin, end - begin);
        begin = end + 1;
        if (piece.size() <= name.size() || !piece.starts_with(name) || piece[name.size()] != '=') continue;
        std::string_view value = piece.substr(name.size() + 1);
        value = value.substr(0, value.find_first_of(ends));
        if (!value.empty()) return value;
    }
    return std::nullopt;
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
    const auto question = url.find('?');
    const std::string_view path = url.substr(0, question);
    if (const auto value = find_pair(path, name, ";", "/", false)) return value;
    if (question == std::string_view::npos) return std::nullopt;
    return find_pair(url.substr(question + 1), name, "&;?", "", true);
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
