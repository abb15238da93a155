// Reading cookies out of a Cookie header, as clients really send it.
#pragma once

#include <optional>
#include <string_view>

namespace lbsticky {

struct Cookie {
    std::string_view name;
    std::string_view value;  // without the double quotes, if it had a pair around it
};

// Walks over the cookies of one Cookie header (RFC 6265, section 5.4, read leniently). Takes any bytes at all and
// costs one pass over them; allocates nothing; what it returns points into the header.
//
//   - Cookies are separated by `;`, and by `,`: httpd joins several Cookie lines with a comma.
//   - Blanks around a name and a value are not part of it.
//   - What has no `=`, or nothing before it, is no cookie and is passed over.
class CookieReader {
public:
    explicit CookieReader(std::string_view header) noexcept : rest_(header) {}

    // The next cookie, or nothing at the end of the header.
    std::optional<Cookie> next() noexcept;

private:
    std::string_view rest_;   // behind the next `;`
    std::string_view pairs_;  // before it: cookies that are separated by commas
};

// Whether `name` may be the name of a cookie: a token of RFC 9110, section 5.6.2 (as RFC 6265 demands).
bool is_cookie_name(std::string_view name) noexcept;

}  // namespace lbsticky
