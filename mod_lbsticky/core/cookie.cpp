#include "core/cookie.hpp"

#include <algorithm>

#include "core/likeness.hpp"

namespace lbsticky {
namespace {

bool is_blank(char c) noexcept {
    return c == ' ' || c == '\t';
}

bool is_separator(char c) noexcept {
    return c == ';' || c == ',';
}

std::string_view unquoted(std::string_view value) noexcept {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') return value.substr(1, value.size() - 2);
    return value;
}

}  // namespace

std::optional<std::string_view> CookieReader::next() noexcept {
    if (name_.empty()) return std::nullopt;
    // Looks for the name, then at what stands around it: most of a header is not ours to read.
    for (auto at = header_.find(name_, end_); at != std::string_view::npos; at = header_.find(name_, end_)) {
        end_ = at + name_.size();
        begin_ = at;
        while (begin_ > 0 && is_blank(header_[begin_ - 1])) --begin_;
        std::size_t value = end_;
        while (value < header_.size() && is_blank(header_[value])) ++value;
        const bool is_begin =
            begin_ == 0 || is_separator(header_[begin_ - 1]) || (rules_ == ParsingRules::stickysession && begin_ < at);
        if (!is_begin || value == header_.size() || header_[value] != '=') continue;

        do ++value;
        while (value < header_.size() && is_blank(header_[value]));
        end_ = value;
        while (end_ < header_.size() && !is_separator(header_[end_])) ++end_;
        std::size_t value_end = end_;
        while (value_end > value && is_blank(header_[value_end - 1])) --value_end;
        return unquoted(header_.substr(value, value_end - value));
    }
    return std::nullopt;
}

std::size_t without_cookie(std::string_view header, std::string_view name, char* kept) noexcept {
    CookieReader cookies(header, name);
    std::size_t copied = 0;  // of the header
    std::size_t size = 0;    // of what is kept
    const auto keep_until = [&](std::size_t end) {
        size += header.substr(copied, end - copied).copy(kept + size, end);
    };
    while (cookies.next()) {
        keep_until(std::max(copied, cookies.begin()));  // blanks before it may be gone already
        copied = cookies.end();
        // One of the separators around it goes too: the one behind, or at the end the one before.
        if (copied < header.size()) {
            do ++copied;
            while (size == 0 && copied < header.size() && is_blank(header[copied]));
        } else if (size > 0) {
            --size;
        }
    }
    keep_until(header.size());
    return size;
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
    for (const char c : name) {
        const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alphanumeric && punctuation.find(c) == std::string_view::npos) return false;
    }
    return !name.empty();
}

}  // namespace lbsticky
