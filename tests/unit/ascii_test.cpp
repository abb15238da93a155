#include "core/ascii.hpp"

#include <string_view>

#include "catch.hpp"

namespace lbsticky {

TEST_CASE("letters and digits are those of ASCII", "[ascii]") {
    constexpr std::string_view alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        CAPTURE(byte);
        CHECK(is_alphanumeric(c) == (alphanumeric.find(c) != std::string_view::npos));
        CHECK(lower(c) == (c >= 'A' && c <= 'Z' ? alphanumeric[alphanumeric.find(c) + 26] : c));
    }
}

TEST_CASE("words are equal but for the case of their letters", "[ascii]") {
    CHECK(equal_ignoring_case("", ""));
    CHECK(equal_ignoring_case("Max-Age", "mAX-aGE"));
    CHECK_FALSE(equal_ignoring_case("max-age", "max-ag"));
    CHECK_FALSE(equal_ignoring_case("", "a"));
    CHECK_FALSE(equal_ignoring_case("@[", "`{"));           // 32 apart, as letters are
    CHECK_FALSE(equal_ignoring_case("\xc4", "\xe4"));       // letters elsewhere
    CHECK_FALSE(equal_ignoring_case("k", "\xe2\x84\xaa"));  // the sign for Kelvin
}

}  // namespace lbsticky
