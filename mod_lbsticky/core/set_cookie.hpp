// Set-Cookie headers: attributes are read from the configuration and written, members' headers are read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lbsticky {

// The attributes of a cookie (RFC 6265bis, section 4.1.2), with their defaults.
struct CookieAttributes {
    enum class Secure { automatic, on, off };
    enum class SameSite { lax, strict, none, off };

    std::string path = "/";
    std::string domain;                      // empty: only the host that gives the cookie
    std::optional<std::uint32_t> max_age{};  // seconds; not set: until the browser is closed
    bool http_only = true;
    Secure secure = Secure::automatic;  // automatic: on if the client's connection is TLS
    SameSite same_site = SameSite::lax;
    bool partitioned = false;
    bool no_cache = false;  // no attribute: whether the response gets "Cache-Control: private"
};

// Sets one attribute from "key=value". Returns nothing on success, else a sentence that says what is wrong and what is
// allowed; the attributes are then unchanged. Throws std::bad_alloc.
std::optional<std::string> set_attribute(CookieAttributes& attributes, std::string_view argument);

// Whether the text before the first `=`, or all of it, is an attribute's name, as it is spelled here or elsewhere
// (`Max-Age`). Throws std::bad_alloc.
bool is_attribute(std::string_view argument);

// Why browsers refuse a cookie of that name with these attributes; nothing if they do not. Throws std::bad_alloc.
std::optional<std::string> contradiction(std::string_view name, const CookieAttributes& attributes);

// The attributes as a Set-Cookie header has them behind name and value: "; Path=/; HttpOnly; SameSite=Lax". `tls`:
// whether the client's connection is TLS. Throws std::bad_alloc.
std::string attributes_text(const CookieAttributes& attributes, bool tls);

// Whether a browser sends a cookie of `cookie_path` with a request for `request_path` (RFC 6265, section 5.1.4).
bool path_matches(std::string_view request_path, std::string_view cookie_path) noexcept;

// A cookie that a Set-Cookie header gives, and its lifetime. Views of the header.
struct GivenCookie {
    std::string_view value;
    std::optional<bool> is_over{};  // whether its Max-Age deletes it; not set if it has none
    std::string_view expires;       // a date; empty if it has none. Max-Age overrides it
};

// Reads a Set-Cookie header (RFC 6265, section 5.2); nothing if it gives a cookie of another name.
std::optional<GivenCookie> read_set_cookie(std::string_view header, std::string_view name) noexcept;

// Whether a date, as Expires has it in any of the forms that browsers read, is of 1970 or before: of these APR knows
// none, or takes them for no date. O(date).
bool is_of_1970_or_before(std::string_view date) noexcept;

// Whether the text is allowed as the value of a cookie (cookie-octets of RFC 6265, section 4.1.1).
bool is_cookie_value(std::string_view text) noexcept;

}  // namespace lbsticky
