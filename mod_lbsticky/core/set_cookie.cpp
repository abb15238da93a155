#include "core/set_cookie.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "core/ascii.hpp"
#include "core/cookie.hpp"
#include "core/duration.hpp"
#include "core/words.hpp"

namespace lbsticky {
namespace {

using Secure = CookieAttributes::Secure;
using SameSite = CookieAttributes::SameSite;

constexpr std::array<Word<bool>, 2> switches{{{"on", true}, {"off", false}}};
constexpr std::array<Word<Secure>, 3> secures{{{"auto", Secure::automatic}, {"on", Secure::on}, {"off", Secure::off}}};
constexpr std::array<Word<SameSite>, 4> same_sites{
    {{"lax", SameSite::lax}, {"strict", SameSite::strict}, {"none", SameSite::none}, {"off", SameSite::off}}};

std::string_view without_blanks(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Stores what the text means. Returns nothing on success, else the words that are allowed.
template <typename Table, typename Meaning>
std::optional<std::string> parse_word(const Table& table, std::string_view text, Meaning& result) {
    const auto* known = find_word(table, text);
    if (!known) return words_of(table);
    result = known->second;
    return std::nullopt;
}

// Parses one value. Returns nothing on success, else what is allowed.
using Parser = std::optional<std::string> (*)(CookieAttributes&, std::string_view);

std::optional<std::string> parse_path(CookieAttributes& attributes, std::string_view text) {
    const auto is_allowed = [](char c) { return c > ' ' && c < 0x7f && c != ';'; };
    if (!text.starts_with('/') || !std::all_of(text.begin(), text.end(), is_allowed))
        return "a path that begins with /, of visible ASCII characters but ;";
    attributes.path = text;
    return std::nullopt;
}

std::optional<std::string> parse_domain(CookieAttributes& attributes, std::string_view text) {
    const auto is_allowed = [](char c) { return is_alphanumeric(c) || c == '-' || c == '.'; };
    if (text.empty() || text == "." || !std::all_of(text.begin(), text.end(), is_allowed))
        return "a host name, of letters, digits, - and .";
    attributes.domain = text;
    return std::nullopt;
}

std::optional<std::string> parse_max_age(CookieAttributes& attributes, std::string_view text) {
    using std::chrono::duration_cast, std::chrono::hours, std::chrono::seconds;
    // Browsers keep no cookie that long.
    constexpr hours longest(3650 * 24);
    const auto age = parse_duration(text, seconds(1), longest);
    // Of the units, a cookie has no ms; and seconds without a letter only, as Max-Age is written.
    if (!age || text.find_first_of("sS") != std::string_view::npos)
        return "seconds, or a number with m, h or d; at least 1 second, at most 3650d";
    attributes.max_age = static_cast<std::uint32_t>(duration_cast<seconds>(*age).count());
    return std::nullopt;
}

constexpr std::array<Word<Parser>, 8> keys{{
    {"path", parse_path},
    {"domain", parse_domain},
    {"maxage", parse_max_age},
    {"httponly", [](CookieAttributes& a, std::string_view text) { return parse_word(switches, text, a.http_only); }},
    {"secure", [](CookieAttributes& a, std::string_view text) { return parse_word(secures, text, a.secure); }},
    {"samesite", [](CookieAttributes& a, std::string_view text) { return parse_word(same_sites, text, a.same_site); }},
    {"partitioned",
     [](CookieAttributes& a, std::string_view text) { return parse_word(switches, text, a.partitioned); }},
    {"nocache", [](CookieAttributes& a, std::string_view text) { return parse_word(switches, text, a.no_cache); }},
}};

// How keys are spelled elsewhere, in Set-Cookie headers and by other servers, and how they are here.
constexpr std::array<Word<std::string_view>, 5> other_spellings{{{"expires", "maxage"},
                                                                 {"max-age", "maxage"},
                                                                 {"same-site", "samesite"},
                                                                 {"http-only", "httponly"},
                                                                 {"no-cache", "nocache"}}};

// The entry of an argument's key, in any spelling; null if there is none.
const Word<Parser>* find_key(std::string_view argument) {
    std::string_view name = argument.substr(0, argument.find('='));
    if (const auto* other = find_word(other_spellings, name)) name = other->second;
    return find_word(keys, name);
}

}  // namespace

std::optional<std::string> set_attribute(CookieAttributes& attributes, std::string_view argument) {
    const std::string refusal = "'" + std::string(argument) + "' is not allowed: ";
    const auto* key = find_key(argument);
    if (!key) return refusal + "KEY=VALUE, where KEY is " + words_of(keys);
    const std::string name(key->first);
    const auto equals = argument.find('=');
    const bool is_spelled_as_here =
        equals != std::string_view::npos && equal_ignoring_case(argument.substr(0, equals), name);
    // No key takes an empty value: with one, the parser says what is allowed.
    const auto allowed = key->second(attributes, is_spelled_as_here ? argument.substr(equals + 1) : "");
    if (!allowed) return std::nullopt;
    return refusal +
           (is_spelled_as_here ? name + " takes " : "it is written " + name + "=VALUE here, where VALUE is ") +
           *allowed;
}

bool is_attribute(std::string_view argument) {
    return find_key(argument);
}

std::optional<std::string> contradiction(std::string_view name, const CookieAttributes& attributes) {
    const bool secure = attributes.secure == Secure::on;
    if (attributes.same_site == SameSite::none && !secure) return "samesite=none needs secure=on";
    if (attributes.partitioned && !secure) return "partitioned=on needs secure=on";
    const auto begins_with = [name](std::string_view prefix) {  // in any case, as browsers see it
        return equal_ignoring_case(name.substr(0, prefix.size()), prefix);
    };
    if (begins_with("__Secure-") && !secure) return "a name that begins with __Secure- needs secure=on";
    if (begins_with("__Host-") && (!secure || attributes.path != "/" || !attributes.domain.empty()))
        return "a name that begins with __Host- needs secure=on, path=/ and no domain";
    return std::nullopt;
}

std::string attributes_text(const CookieAttributes& attributes, bool tls) {
    std::string text = "; Path=" + attributes.path;
    if (!attributes.domain.empty()) text.append("; Domain=").append(attributes.domain);
    if (attributes.max_age) text.append("; Max-Age=").append(std::to_string(*attributes.max_age));
    if (attributes.secure == Secure::on || (attributes.secure == Secure::automatic && tls)) text.append("; Secure");
    if (attributes.http_only) text.append("; HttpOnly");
    switch (attributes.same_site) {
        case SameSite::lax: text.append("; SameSite=Lax"); break;
        case SameSite::strict: text.append("; SameSite=Strict"); break;
        case SameSite::none: text.append("; SameSite=None"); break;
        case SameSite::off: break;
    }
    if (attributes.partitioned) text.append("; Partitioned");
    return text;
}

bool path_matches(std::string_view request_path, std::string_view cookie_path) noexcept {
    if (cookie_path == "/") return true;
    if (!request_path.starts_with(cookie_path)) return false;
    return request_path.size() == cookie_path.size() || cookie_path.ends_with('/') ||
           request_path[cookie_path.size()] == '/';
}

std::optional<GivenCookie> read_set_cookie(std::string_view header, std::string_view name) noexcept {
    if (!header.starts_with(name)) return std::nullopt;
    CookieReader cookie(header.substr(0, header.find(';')), name);
    const auto value = cookie.next();
    if (!value || cookie.begin() != 0) return std::nullopt;
    GivenCookie given{*value, std::nullopt, {}};
    while (true) {
        const auto semicolon = header.find(';');
        if (semicolon == std::string_view::npos) return given;
        header.remove_prefix(semicolon + 1);
        const std::string_view attribute = header.substr(0, header.find(';'));
        const auto equals = attribute.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string_view key = without_blanks(attribute.substr(0, equals));
        const std::string_view text = without_blanks(attribute.substr(equals + 1));
        if (equal_ignoring_case(key, "expires")) given.expires = text;
        // A Max-Age of zero or less deletes the cookie; one that is no number is ignored.
        if (equal_ignoring_case(key, "max-age") && !text.empty()) {
            const std::string_view digits = text.substr(text.front() == '-');
            const bool is_number = !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
            if (is_number)
                given.is_over = text.front() == '-' || digits.find_first_not_of('0') == std::string_view::npos;
        }
    }
}

bool is_of_1970_or_before(std::string_view date) noexcept {
    constexpr std::string_view digits = "0123456789";
    for (auto at = date.find_first_of(digits); at != std::string_view::npos;) {
        const auto end = std::min(date.find_first_not_of(digits, at), date.size());
        const std::string_view number = date.substr(at, end - at);
        // Four digits are a year or a zone; two behind a hyphen are a year of RFC 850's.
        if (number.size() == 4 && number >= "1601" && number <= "1970") return true;
        if (number == "70" && at > 0 && date[at - 1] == '-') return true;
        at = date.find_first_of(digits, end);
    }
    return false;
}

bool is_cookie_value(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\'; });
}

}  // namespace lbsticky
