// Reading cookies out of a Cookie header, as clients really send it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lbsticky {

// The rules by which a name is found. Ours come first; with stickysession= those of mod_proxy_balancer come second, for
// an id that carries a route.
//
//                                  stickysession=                        LBStickySession
//   a parameter's name stands      behind anything (`xjsessionid=...`)   in the path behind `;`, in the query behind
//                                                                        `?`, `&` or `;`
//   an empty value of one          is looked for behind `?` and `&`      is none
//   a cookie's name stands         behind `;`, `,` or a blank            behind `;` or `,`
enum class ParsingRules { stickysession, strict };

// A value without the pair of double quotes around it, if it has one.
std::string_view unquoted(std::string_view value) noexcept;

// Finds the cookies of one name in a Cookie header (RFC 6265, section 5.4, read leniently). Takes any bytes at all and
// costs one pass over them; allocates nothing; what it returns points into the header.
//
//   - Cookies are separated by `;`, and by `,`: httpd joins several Cookie lines with a comma.
//   - Blanks around a name and a value are not part of it, nor is a pair of double quotes around a value.
//   - What has no `=`, or nothing before it, is no cookie.
class CookieReader {
public:
    CookieReader(std::string_view header, std::string_view name, ParsingRules rules = ParsingRules::strict) noexcept
        : header_(name.empty() ? std::string_view() : header), name_(name), rules_(rules) {}

    // The value of the next cookie of that name, or nothing at the end of the header.
    std::optional<std::string_view> next() noexcept;

    // Where the cookie that next() has returned stands in the header: everything between its separators.
    std::size_t begin() const noexcept { return begin_; }
    std::size_t end() const noexcept { return end_; }

private:
    std::string_view header_;
    std::string_view name_;
    ParsingRules rules_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t semicolon_ = 0;  // one that was found; behind `end_` it is the next one
};

// Writes parts of a header to a place that has room for all of it, and may be the header itself.
struct HeaderCopy {
    std::string_view header;
    char* to;
    std::size_t read = 0;     // bytes of the header that were copied, or are left out
    std::size_t written = 0;  // bytes

    // Copies what is not read yet before `end`, which is at least `read`.
    void keep_until(std::size_t end) noexcept {
        std::char_traits<char>::move(to + written, header.data() + read, end - read);
        written += end - read;
        read = end;
    }
};

// Writes the header without the cookies of that name to `kept`, which has room for as much as the header and may be the
// header itself, and returns how many bytes that is. All other cookies stay byte for byte as they are.
std::size_t without_cookie(std::string_view header, std::string_view name, char* kept) noexcept;

// Writes the header with shorter values for the cookies of that name to `kept`, which has room for as much as the
// header and may be the header itself, and returns how many bytes that is: of each value the first
// shortened(value).size() bytes stay. A quote around a value stays too.
template <typename Shortened>
std::size_t with_shorter_values(std::string_view header, std::string_view name, char* kept, Shortened&& shortened) {
    CookieReader cookies(header, name);
    HeaderCopy copy{header, kept};
    while (const auto value = cookies.next()) {
        const auto begin = static_cast<std::size_t>(value->data() - header.data());
        const std::string_view stays = shortened(*value);
        if (stays.size() == value->size()) continue;
        copy.keep_until(begin + stays.size());
        copy.read = begin + value->size();
    }
    copy.keep_until(header.size());
    return copy.written;
}

// The same for a header that is a value by itself.
template <typename Shortened>
std::size_t with_shorter_value(std::string_view header, char* kept, Shortened&& shortened) {
    const std::string_view value = unquoted(header);
    const auto begin = static_cast<std::size_t>(value.data() - header.data());
    const std::size_t size = header.copy(kept, begin + shortened(value).size());
    return size + header.copy(kept + size, header.size(), begin + value.size());
}

// The name of a cookie in the header that is_like() another name and is not that name; empty where there is none. Looks
// at the first 64 cookies; one pass over the header, no allocation.
std::string_view find_like_cookie(std::string_view header, std::string_view name) noexcept;

// Whether `name` may be the name of a cookie: a token of RFC 9110, section 5.6.2 (as RFC 6265 demands).
bool is_cookie_name(std::string_view name) noexcept;

}  // namespace lbsticky
