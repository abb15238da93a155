#include "core/session.hpp"

#include <algorithm>

namespace lbsticky {
namespace {

// In a query pairs end at any of these: `&` as forms have it, `;` as W3C recommended once, and `?` as in URLs that were
// put together carelessly.
constexpr std::string_view between_pairs = "&;?";

constexpr std::size_t shortest_of_one_client = 8;  // characters of an id that a route follows
constexpr std::size_t length_of_an_id = 16;        // characters: 64 bits in hex

// Whether an id that a route follows is too short to be that of one client. Its first part tells, unless another one is
// an id: `v1.0123456789ABCDEF`.
bool is_anybodys(std::string_view id, char separator) noexcept {
    if (id.substr(0, id.find(separator)).size() >= shortest_of_one_client) return false;
    while (!id.empty()) {
        const std::string_view part = id.substr(0, id.find(separator));
        if (part.size() >= length_of_an_id) return false;
        id.remove_prefix(std::min(part.size() + 1, id.size()));
    }
    return true;
}

}  // namespace

std::optional<std::string_view> find_parameter(std::string_view url, std::string_view name,
                                               ParsingRules rules) noexcept {
    if (name.empty()) return std::nullopt;
    // Looks for the name, then at what stands around it: most URLs do not hold it.
    std::size_t question = 0;
    for (auto at = url.find(name); at != std::string_view::npos; at = url.find(name, at + name.size())) {
        std::size_t value = at + name.size() + 1;
        if (at == 0 || value >= url.size() || url[value - 1] != '=') continue;
        if (question == 0) question = std::min(url.find('?'), url.size());
        const bool in_path = at < question;
        if (rules == ParsingRules::strict) {
            const std::string_view separators = in_path ? ";" : between_pairs;
            if (separators.find(url[at - 1]) == std::string_view::npos) continue;
        } else {
            value = url.find_first_not_of("?&", value);
            if (value == std::string_view::npos) continue;
        }
        if (!in_path && name.find('&') != std::string_view::npos) continue;
        const auto end = url.find_first_of(in_path ? ";/?" : between_pairs, value);
        if (end != value) return url.substr(value, end - value);
    }
    return std::nullopt;
}

PlacementKey placement_key(std::string_view value, std::string_view id, char separator) noexcept {
    if (separator == '\0' || value.find(separator) == std::string_view::npos) return {value};
    const auto last = value.rfind(separator);
    const std::size_t behind = value.size() - last - 1;
    if (behind == 0 || behind > longest_route) return {value};
    const std::string_view before = value.substr(0, last);
    if (id.empty()) id = before;
    if (is_anybodys(id, separator)) return {id.substr(0, id.find(separator)), true};
    return {before.size() >= length_of_an_id ? before : value};
}

std::string shortened(std::string_view id) {
    const std::size_t shown = std::min<std::size_t>(4, id.size() / 2);
    return std::string(id.substr(0, shown)) + "...(" + std::to_string(id.size()) + ")";
}

}  // namespace lbsticky
