#include "core/escape.hpp"

#include <array>
#include <cstdint>

namespace lbsticky {
namespace {

constexpr char32_t replacement = 0xFFFD;

// Removes the first character of the text and returns it.
char32_t take_character(std::string_view& text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    std::size_t length = first < 0x80 ? 1 : first >= 0xC2 && first <= 0xDF ? 2 : (first & 0xF0) == 0xE0 ? 3 : 0;
    if (first >= 0xF0 && first <= 0xF4) length = 4;
    char32_t character = length == 1 ? first : first & (0x7FU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if (i >= text.size() || (byte(i) & 0xC0) != 0x80)
            length = 0;
        else
            character = character << 6 | (byte(i) & 0x3FU);
    }
    // Invalid are an overlong encoding, half of a surrogate pair, and what is above U+10FFFF.
    constexpr std::array<char32_t, 5> lowest{0, 0, 0x80, 0x800, 0x10000};
    const bool valid = length > 0 && character >= lowest[length] && character <= 0x10FFFF &&
                       (character < 0xD800 || character > 0xDFFF);
    text.remove_prefix(valid ? length : 1);
    return valid ? character : replacement;
}

void append_utf8(std::string& to, char32_t c) {
    const auto append_tail = [&](int shift) { to += static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
    if (c < 0x80) {
        to += static_cast<char>(c);
    } else if (c < 0x800) {
        to += static_cast<char>(0xC0 | (c >> 6));
        append_tail(0);
    } else if (c < 0x10000) {
        to += static_cast<char>(0xE0 | (c >> 12));
        append_tail(6);
        append_tail(0);
    } else {
        to += static_cast<char>(0xF0 | (c >> 18));
        append_tail(12);
        append_tail(6);
        append_tail(0);
    }
}

bool is_control(char32_t c) noexcept {
    return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

}  // namespace

std::string escape_markup(std::string_view text) {
    std::string escaped;
    while (!text.empty()) {
        char32_t c = take_character(text);
        if (is_control(c) || c == 0xFFFE || c == 0xFFFF) c = replacement;  // not allowed in XML
        switch (c) {
            case '&': escaped += "&amp;"; break;
            case '<': escaped += "&lt;"; break;
            case '>': escaped += "&gt;"; break;
            case '"': escaped += "&quot;"; break;
            case '\'': escaped += "&#39;"; break;
            default:
                if (c < 0x80)
                    escaped += static_cast<char>(c);
                else
                    escaped.append("&#").append(std::to_string(static_cast<std::uint32_t>(c))).append(";");
        }
    }
    return escaped;
}

std::string json_string(std::string_view text) {
    std::string escaped = "\"";
    while (!text.empty()) {
        const char32_t c = take_character(text);
        if (c == '"' || c == '\\') {
            escaped += '\\';
            escaped += static_cast<char>(c);
        } else if (is_control(c)) {
            constexpr std::string_view digits = "0123456789abcdef";
            escaped.append("\\u00").append({digits[c >> 4], digits[c & 15]});  // they end at 0x9f
        } else {
            append_utf8(escaped, c);
        }
    }
    return escaped + '"';
}

std::string escape_label(std::string_view text) {
    std::string escaped;
    while (!text.empty()) {
        const char32_t c = take_character(text);
        if (c == '\n')
            escaped += "\\n";
        else if (is_control(c))
            append_utf8(escaped, replacement);
        else {
            if (c == '"' || c == '\\') escaped += '\\';
            append_utf8(escaped, c);
        }
    }
    return escaped;
}

}  // namespace lbsticky
