// Fuzzes with any bytes as a URL, as a session id, and as an argument of LBStickySession.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/session.hpp"
#include "core/session_name.hpp"
#include "require.hpp"

namespace lbsticky {
namespace {

std::string value_at(const std::string& text, std::size_t begin, const char* ends) {
    return text.substr(begin, text.find_first_of(ends, begin) - begin);
}

// find_parameter() in another way: tries every place where the parameter may stand, in order.
std::optional<std::string> parameter_of(const std::string& url, const std::string& name) {
    const std::string path = url.substr(0, url.find('?'));
    const std::string wanted = name + '=';
    for (std::size_t i = 0; i < url.size(); ++i) {
        const bool in_path = i < path.size();
        if (url[i] != ';' && (in_path || (url[i] != '?' && url[i] != '&'))) continue;
        if (url.compare(i + 1, wanted.size(), wanted) != 0) continue;
        const std::size_t begin = i + 1 + wanted.size();
        const std::string value = in_path ? value_at(path, begin, ";/") : value_at(url, begin, "&;?");
        if (!value.empty()) return value;
    }
    return std::nullopt;
}

void check_parameter(std::string_view url, const std::string& name) {
    const auto value = find_parameter(url, name);
    const auto expected = parameter_of(std::string(url), name);
    require(value.has_value() == expected.has_value(), "a parameter is found exactly where there is one");
    if (!value) return;
    require(*value == *expected, "it is the first that is not empty");
    require(lies_in(*value, url), "a value lies in the URL");
    require(!value->empty(), "a value is not empty");
    require(value->find_first_of(";?") == value->npos, "a value ends at a delimiter");
    const auto begin = static_cast<std::size_t>(value->data() - url.data());
    require(begin >= name.size() + 2, "a value stands behind its name");
    require(url.substr(begin - name.size() - 1, name.size() + 1) == name + "=", "it is the name that was asked for");
    const bool in_path = url.substr(0, begin).find('?') == url.npos;
    require(value->find(in_path ? '/' : '&') == value->npos, "a value ends with its part of the path or query");
}

void check_candidates(std::string_view value, char separator) {
    std::vector<std::string_view> expected;
    if (separator == '\0') {
        if (value.size() <= longest_route) expected.push_back(value);
    } else {
        // A route and its separator have at most 64 bytes: looking at 100 shows that none is missing.
        for (std::size_t i = value.size() - std::min<std::size_t>(100, value.size()); i < value.size(); ++i) {
            const std::string_view route = value.substr(i + 1);
            if (value[i] == separator && !route.empty() && route.size() <= longest_route) expected.push_back(route);
        }
    }
    RouteCandidates candidates(value, separator);
    for (const auto route : expected) {
        const auto next = candidates.next();
        require(next.has_value(), "every place at which a route may begin is found, the longest first");
        require(next->data() == route.data() && next->size() == route.size(), "a candidate is the end of the value");
    }
    require(!candidates.next() && !candidates.next(), "there are no other candidates");
    require(expected.size() <= longest_route + 1, "there are few candidates");
}

void check_session_name(std::string_view text) {
    const auto names = parse_session_name(text);
    for (const auto& [word, where] : where_words) {
        if (!text.starts_with(word)) continue;
        const std::string_view rest = text.substr(word.size());
        const bool is_name = is_cookie_name(rest) && rest.find_first_of("|*") == rest.npos;
        require(names.has_value() == (where == Where::header ? is_name : !rest.empty()),
                "behind a word stands a name, or anything for an expression");
        if (!names) return;
        require(names->where == where && names->behind_word() == rest, "it is told from the word");
        require(lies_in(names->other, text) && names->cookie.empty() && names->parameter.empty(),
                "what stands elsewhere is no cookie");
        return;
    }
    const auto bar = text.find('|');
    const std::string_view cookie = text.substr(0, bar);
    const std::string_view parameter = bar == text.npos ? text : text.substr(bar + 1);
    const bool well_formed = is_cookie_name(cookie) && is_cookie_name(parameter) &&
                             parameter.find('|') == parameter.npos && text.find('*') == text.npos;
    require(names.has_value() == well_formed, "what is not well formed is refused, and nothing else");
    if (!names) return;
    require(names->cookie == cookie && names->parameter == parameter, "the cookie comes first, then the parameter");
    require(lies_in(names->cookie, text) && lies_in(names->parameter, text), "names lie in the text");
    require(names->cookie.find_first_of("=;, \t\"/?") == text.npos, "a name has no delimiter");
}

void check_shortened(std::string_view id) {
    const std::string shown = shortened(id);
    const std::string rest = "...(" + std::to_string(id.size()) + ")";
    require(shown.ends_with(rest), "the length of an id is told");
    const std::string_view start = std::string_view(shown).substr(0, shown.size() - rest.size());
    require(id.starts_with(start), "what is shown of an id is its start");
    require(start.size() <= 4 && 2 * start.size() <= id.size(), "most of an id is not shown");
}

}  // namespace
}  // namespace lbsticky

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace lbsticky;
    // A copy in memory of its own, so that a sanitizer notices a read behind its end.
    const std::vector<char> bytes(data, data + size);
    const std::string_view input(bytes.data(), bytes.size());

    for (const char* name : {"jsessionid", "s", "JSESSIONID"}) {
        check_parameter(input, name);
        if (const auto value = find_parameter(input, name))
            for (const char separator : {'.', '!', '\0'}) check_candidates(*value, separator);
    }
    for (const char separator : {'.', '!', ';', '\xff', '\0'}) check_candidates(input, separator);
    check_session_name(input);
    check_shortened(input);
    return 0;
}
