#include "store/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "core/ascii.hpp"
#include "core/duration.hpp"
#include "core/masked_url.hpp"
#include "core/number.hpp"

namespace lbsticky {
namespace {

struct Scheme {
    std::string_view name;
    StoreKind kind;
    std::uint16_t port;
};
constexpr std::array<Scheme, 2> schemes{
    {{"redis", StoreKind::redis, 6379}, {"memcached", StoreKind::memcached, 11211}}};

const Scheme& scheme_of(StoreKind kind) noexcept {
    return *std::find_if(schemes.begin(), schemes.end(), [kind](const Scheme& scheme) { return scheme.kind == kind; });
}

bool consists_of_alphanumerics_and(std::string_view others, std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [others](char c) { return is_alphanumeric(c) || others.find(c) != others.npos; });
}

// A URL, however wrong, without what may be its password: all between the first colon and the last @. Where there is
// no @, what stands in the place of a port may be a password with the host forgotten.
std::string masked(std::string_view url) {
    const auto scheme_end = url.find("://");
    const auto begin = scheme_end == url.npos ? 0 : scheme_end + 3;
    const std::string_view rest = url.substr(begin);
    const auto at = rest.rfind('@');
    const auto colon =
        rest.find(':', at == rest.npos && rest.starts_with('[') ? std::min(rest.find(']'), rest.size()) : 0);
    if (colon == rest.npos || (at != rest.npos && colon > at)) return std::string(url);
    if (at == rest.npos && rest.find_first_not_of("0123456789/", colon + 1) == rest.npos) return std::string(url);
    std::string shown(url.substr(0, begin + colon + 1));
    shown.append(password_mask);
    if (at != rest.npos) shown.append(rest.substr(at));
    return shown;
}

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        unsigned char byte = 0;
        const std::string_view code = text.substr(i + 1, 2);
        const auto [end, error] = std::from_chars(code.data(), code.data() + code.size(), byte, 16);
        if (error != std::errc() || code.size() != 2 || end != code.data() + 2) return std::nullopt;
        decoded += static_cast<char>(byte);
        i += 2;
    }
    return decoded;
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string encoded;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (consists_of_alphanumerics_and("-._~", {&c, 1}))
            encoded += c;
        else
            encoded.append({'%', hex[byte >> 4U], hex[byte & 15U]});
    }
    return encoded;
}

bool is_host_name(std::string_view text) noexcept {
    constexpr std::size_t longest = 253;  // RFC 1035, section 2.3.4
    return !text.empty() && text.size() <= longest && consists_of_alphanumerics_and("-._", text);
}

bool is_ipv6_address(const std::string& text) noexcept {
    in6_addr address{};
    return inet_pton(AF_INET6, text.c_str(), &address) == 1 && text.find('\0') == text.npos;
}

// Each of these takes a part of the URL into the settings, and returns nothing on success, else what is wrong.
using Mistake = std::optional<std::string>;

Mistake read_credentials(StoreSettings& settings, std::string_view text) {
    if (settings.kind != StoreKind::redis) return "memcached takes no user and no password";
    const auto colon = text.find(':');
    auto user = percent_decoded(text.substr(0, colon));
    auto password = percent_decoded(colon == text.npos ? "" : text.substr(colon + 1));
    if (!user || !password) return "% in a user or a password is followed by two hexadecimal digits; itself it is %25";
    if (colon != text.npos && password->empty()) return "the password is empty";
    if (colon == text.npos && user->empty()) return "the user is empty";
    settings.user = std::move(*user);
    settings.password = std::move(*password);
    return std::nullopt;
}

Mistake read_host(StoreSettings& settings, std::string_view text) {
    const bool is_bracketed = text.starts_with('[');
    const auto end = is_bracketed ? text.find(']') : text.find(':');
    if (is_bracketed && end == text.npos) return "an IPv6 address stands in brackets, [::1]";
    settings.host = is_bracketed ? text.substr(1, end - 1) : text.substr(0, end);
    if (is_bracketed && !is_ipv6_address(settings.host)) return "what stands in brackets is no IPv6 address";
    if (!is_bracketed && !is_host_name(settings.host))
        return "HOST is a name or an address, of letters, digits and any of -._; an IPv6 address stands in brackets";
    const std::string_view rest = end == text.npos ? "" : text.substr(end + (is_bracketed ? 1 : 0));
    if (rest.empty()) return std::nullopt;
    const auto port = rest.starts_with(':') ? number_in<std::uint16_t>(rest.substr(1), 1, 65535) : std::nullopt;
    if (!port) return "PORT is a number from 1 to 65535";
    settings.port = *port;
    return std::nullopt;
}

Mistake read_database(StoreSettings& settings, std::string_view text) {
    if (text.empty()) return std::nullopt;
    if (settings.kind != StoreKind::redis) return "memcached has no databases";
    const auto number = number_in<std::uint32_t>(text, 0, 65535);
    if (!number) return "DB is a number from 0 to 65535";
    settings.database = *number;
    return std::nullopt;
}

Mistake read_url(StoreSettings& settings, std::string_view url) {
    const auto separator = url.find("://");
    const std::string_view name = url.substr(0, separator);
    const auto scheme = std::find_if(schemes.begin(), schemes.end(), [name](const Scheme& candidate) {
        return equal_ignoring_case(candidate.name, name);
    });
    if (separator == url.npos || scheme == schemes.end())
        return std::string("redis://[USER:PASSWORD@]HOST[:PORT][/DB] or memcached://HOST[:PORT]") +
               (equal_ignoring_case(name, "rediss") ? "; TLS is not available" : "");
    settings.kind = scheme->kind;
    settings.port = scheme->port;

    std::string_view rest = url.substr(separator + 3);
    // A password may contain an @, a host has none.
    if (const auto at = rest.rfind('@'); at != rest.npos) {
        if (rest.substr(0, at).find_first_of("/?#") != rest.npos)
            return "in a user and a password / is written %2F, ? is %3F, # is %23";
        if (auto mistake = read_credentials(settings, rest.substr(0, at))) return mistake;
        rest.remove_prefix(at + 1);
    }
    const auto slash = rest.find('/');
    if (auto mistake = read_host(settings, rest.substr(0, slash))) return mistake;
    return read_database(settings, slash == rest.npos ? "" : rest.substr(slash + 1));
}

// These take a word's value into the settings, and return nothing on success, else what is allowed.
Mistake read_timeout(StoreSettings& settings, std::string_view text) {
    using namespace std::chrono_literals;
    const auto timeout = parse_duration(text, 1ms, 5s);  // nobody waits longer for a page
    if (!timeout) return "a number with ms, or seconds; at least 1ms, at most 5s";
    settings.timeout = *timeout;
    return std::nullopt;
}

Mistake read_prefix(StoreSettings& settings, std::string_view text) {
    constexpr std::size_t longest = 32;  // a key of memcached's has at most 250 bytes
    if (text.empty() || text.size() > longest || !consists_of_alphanumerics_and("-._:", text))
        return "1 to 32 letters, digits and any of -._:";
    settings.prefix = text;
    return std::nullopt;
}

Mistake read_password_file(StoreSettings& settings, std::string_view text) {
    if (text.empty()) return "the path of a file";
    settings.password_file = text;
    return std::nullopt;
}

using Reader = Mistake (*)(StoreSettings&, std::string_view);
constexpr std::array<std::pair<std::string_view, Reader>, 3> keys{
    {{"timeout", read_timeout}, {"prefix", read_prefix}, {"password-file", read_password_file}}};

// The place of a word's key in the table; the table's size if it is none.
std::size_t key_of(std::string_view word) noexcept {
    const auto equals = word.find('=');
    if (equals == word.npos) return keys.size();
    const auto found = std::find_if(keys.begin(), keys.end(), [&](const auto& key) {
        return equal_ignoring_case(key.first, word.substr(0, equals));
    });
    return static_cast<std::size_t>(found - keys.begin());
}

std::string is_not_allowed(std::string_view word) {
    return "'" + std::string(word) + "' is not allowed: ";
}

Mistake read_words(StoreSettings& settings, std::span<const std::string_view> words) {
    std::array<bool, keys.size()> seen{};
    for (const std::string_view word : words) {
        const auto key = key_of(word);
        if (key == keys.size()) {
            // Whatever is behind it may be a password.
            const auto equals = word.find('=');
            std::string refusal = is_not_allowed(word.substr(0, equals == word.npos ? equals : equals + 1));
            for (std::size_t i = 0; i < keys.size(); ++i)
                refusal.append(i == 0 ? "" : i + 1 < keys.size() ? ", " : " or ").append(keys[i].first).append("=");
            return refusal + " follow the address";
        }
        const std::string name(keys[key].first);
        if (std::exchange(seen[key], true)) return is_not_allowed(word) + name + "= stands there already";
        if (const auto allowed = keys[key].second(settings, word.substr(name.size() + 1)))
            return is_not_allowed(word) + name + " takes " + *allowed;
    }
    return std::nullopt;
}

// What is wrong with the whole of it.
Mistake contradiction(const StoreSettings& settings) {
    if (settings.kind != StoreKind::redis && !settings.password_file.empty())
        return is_not_allowed("password-file=" + settings.password_file) + "memcached takes no user and no password";
    if (!settings.password.empty() && !settings.password_file.empty())
        return is_not_allowed("password-file=" + settings.password_file) + "the address has a password already";
    if (!settings.user.empty() && settings.password.empty() && settings.password_file.empty())
        return is_not_allowed(store_text(settings)) + "a user needs a password: USER:PASSWORD@, or password-file=";
    return std::nullopt;
}

}  // namespace

std::optional<std::string> read_store(StoreSettings& settings, std::span<const std::string_view> words) {
    if (words.empty())
        return "it takes redis://[USER:PASSWORD@]HOST[:PORT][/DB] or memcached://HOST[:PORT], then timeout=, prefix=, "
               "password-file=";
    StoreSettings read;
    if (const auto mistake = read_url(read, words.front())) return is_not_allowed(masked(words.front())) + *mistake;
    if (auto sentence = read_words(read, words.subspan(1))) return sentence;
    if (auto sentence = contradiction(read)) return sentence;
    settings = std::move(read);
    return std::nullopt;
}

std::string store_text(const StoreSettings& settings) {
    const Scheme& scheme = scheme_of(settings.kind);
    std::string text(scheme.name);
    text += "://";
    text += percent_encoded(settings.user);
    if (!settings.password.empty()) text.append(":").append(password_mask);
    if (!settings.user.empty() || !settings.password.empty()) text += '@';
    text += settings.host.find(':') == settings.host.npos ? settings.host : "[" + settings.host + "]";
    if (settings.port != scheme.port) text.append(":").append(std::to_string(settings.port));
    if (settings.database != 0) text.append("/").append(std::to_string(settings.database));
    return text;
}

}  // namespace lbsticky
