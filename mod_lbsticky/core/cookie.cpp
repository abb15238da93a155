#include "core/cookie.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/ascii.hpp"
#include "core/likeness.hpp"

namespace lbsticky {
namespace {

bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t';
}

bool is_separator(char c) noexcept {
    return c == ';' || c == ',';
}

// Finds the name in the text from a place on, as std::string_view::find() does. It looks for the first letter, which is
// fastest where that is rare. After eight of them in vain it looks at sixteen places at a time, for the first letter
// and the last (W. Mula, "SIMD-friendly algorithms for substring searching"): a quarter of the time in a header of 4
// KB.
std::size_t find_name(std::string_view text, std::string_view name, std::size_t from) noexcept {
    for (int tries = 0; tries < 8; ++tries) {
        from = text.find(name.front(), from);
        if (from == std::string_view::npos || text.substr(from, name.size()) == name) return from;
        ++from;
    }
    using Bytes = unsigned char __attribute__((vector_size(16)));
    const std::size_t last = name.size() - 1;
    const Bytes firsts = static_cast<unsigned char>(name.front()) + Bytes{};
    const Bytes lasts = static_cast<unsigned char>(name.back()) + Bytes{};
    for (; from + last + sizeof(Bytes) <= text.size(); from += sizeof(Bytes)) {
        Bytes begins, ends;
        std::memcpy(&begins, text.data() + from, sizeof(Bytes));
        std::memcpy(&ends, text.data() + from + last, sizeof(Bytes));
        const auto both = (begins == firsts) & (ends == lasts);
        std::uint64_t halves[2];
        std::memcpy(halves, &both, sizeof(halves));
        if ((halves[0] | halves[1]) == 0) continue;
        for (std::size_t i = 0; i < sizeof(Bytes); ++i)
            if (both[i] && text.substr(from + i, name.size()) == name) return from + i;
    }
    return text.find(name, from);
}

}  // namespace

std::string_view unquoted(std::string_view value) noexcept {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') return value.substr(1, value.size() - 2);
    return value;
}

std::optional<std::string_view> CookieReader::next() noexcept {
    // Looks for the name, then at what stands around it: most of a header is not ours to read.
    while (end_ < header_.size()) {
        const auto at = find_name(header_, name_, end_);
        if (at == std::string_view::npos) break;
        end_ = at + name_.size();
        std::size_t begin = at;
        while (begin > 0 && is_blank(header_[begin - 1])) --begin;
        begin_ = begin;
        std::size_t value = end_;
        while (value < header_.size() && is_blank(header_[value])) ++value;
        const bool is_begin =
            begin == 0 || is_separator(header_[begin - 1]) || (rules_ == ParsingRules::stickysession && begin < at);
        if (!is_begin || value == header_.size() || header_[value] != '=') continue;

        do ++value;
        while (value < header_.size() && is_blank(header_[value]));
        // The next semicolon is looked for once, however many commas come before it.
        if (semicolon_ < value) semicolon_ = std::min(header_.find(';', value), header_.size());
        end_ = value + std::min(header_.substr(value, semicolon_ - value).find(','), semicolon_ - value);
        std::size_t value_end = end_;
        while (value_end > value && is_blank(header_[value_end - 1])) --value_end;
        return unquoted(header_.substr(value, value_end - value));
    }
    return std::nullopt;
}

std::size_t without_cookie(std::string_view header, std::string_view name, char* kept) noexcept {
    CookieReader cookies(header, name);
    HeaderCopy copy{header, kept};
    while (cookies.next()) {
        copy.keep_until(std::max(copy.read, cookies.begin()));  // blanks before it may be gone already
        copy.read = cookies.end();
        // One of the separators around it goes too: the one behind, or at the end the one before.
        if (copy.read < header.size()) {
            do ++copy.read;
            while (copy.written == 0 && copy.read < header.size() && is_blank(header[copy.read]));
        } else if (copy.written > 0) {
            --copy.written;
        }
    }
    copy.keep_until(header.size());
    return copy.written;
}

std::string_view find_like_cookie(std::string_view header, std::string_view name) noexcept {
    for (int cookies = 0; cookies < 64 && !header.empty(); ++cookies) {
        while (!header.empty() && is_blank(header.front())) header.remove_prefix(1);
        const std::string_view cookie = header.substr(0, header.find_first_of(";,"));
        const std::string_view other = cookie.substr(0, cookie.find('='));
        if (other != name && is_cookie_name(other) && is_like(other, name)) return other;
        header.remove_prefix(std::min(cookie.size() + 1, header.size()));
    }
    return {};
}

bool is_cookie_name(std::string_view name) noexcept {
    constexpr std::string_view punctuation = "!#$%&'*+-.^_`|~";
    for (const char c : name)
        if (!is_alphanumeric(c) && punctuation.find(c) == std::string_view::npos) return false;
    return !name.empty();
}

}  // namespace lbsticky
