// Writing a Set-Cookie header, and reading from a configuration how it is to be written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lbsticky {

// What a cookie says beside its name and value (RFC 6265bis, section 4.1.2). All at their defaults.
struct CookieAttributes {
    enum class Secure { automatic, on, off };
    enum class SameSite { lax, strict, none, off };

    std::string path = "/";
    std::string domain;                      // empty: the host alone
    std::optional<std::uint32_t> max_age{};  // seconds; not set: as long as the browser runs
    bool http_only = true;
    Secure secure = Secure::automatic;  // on where the client's connection is TLS
    SameSite same_site = SameSite::lax;
    bool partitioned = false;
    bool no_cache = false;  // not the cookie's: the response is marked as one that caches must not share
};

// Sets one attribute from "key=value". Nothing on success, else the sentence that says what is wrong with it and what
// is allowed; the attributes are then as they were. Throws std::bad_alloc.
std::optional<std::string> set_attribute(CookieAttributes& attributes, std::string_view argument);

// Whether a word, or what of it stands before the first `=`, names an attribute, as it is called here or elsewhere.
// Throws std::bad_alloc.
bool is_attribute(std::string_view argument);

// What is wrong with a cookie of that name and these attributes together, as browsers would refuse it; nothing if all
// is well. Throws std::bad_alloc.
std::optional<std::string> contradiction(std::string_view name, const CookieAttributes& attributes);

// What follows name and value in a Set-Cookie header: "; Path=/; HttpOnly; SameSite=Lax". `tls`: whether the client's
// connection is TLS. Throws std::bad_alloc.
std::string attributes_text(const CookieAttributes& attributes, bool tls);

// Whether a browser sends a cookie of that path with a request for that path (RFC 6265, section 5.1.4).
bool path_matches(std::string_view request_path, std::string_view cookie_path) noexcept;

// What a Set-Cookie header gives, and how long that lives. Views of the header.
struct GivenCookie {
    std::string_view value;
    std::optional<bool> is_over{};  // by its Max-Age; not set where it has none
    std::string_view expires;       // a date; empty where it has none. Max-Age counts before it
};

// Reads a Set-Cookie header for the cookie of that name (RFC 6265, section 5.2); nothing where it is for another one.
std::optional<GivenCookie> read_set_cookie(std::string_view header, std::string_view name) noexcept;

// Whether the text may be the value of a cookie (cookie-octets of RFC 6265, section 4.1.1).
bool is_cookie_value(std::string_view text) noexcept;

}  // namespace lbsticky
