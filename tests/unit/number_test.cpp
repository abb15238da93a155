#include "core/number.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

#include "catch.hpp"

namespace lbsticky {

TEST_CASE("a number lies within its bounds, which are allowed", "[number]") {
    CHECK(number_in<std::uint32_t>("1", 1, 100) == 1U);
    CHECK(number_in<std::uint32_t>("100", 1, 100) == 100U);
    CHECK(number_in<std::uint32_t>("007", 1, 100) == 7U);
    CHECK_FALSE(number_in<std::uint32_t>("0", 1, 100));
    CHECK_FALSE(number_in<std::uint32_t>("101", 1, 100));
    CHECK(number_in<std::uint16_t>("65535", 0, 65535) == std::uint16_t{65535});
    CHECK_FALSE(number_in<std::uint16_t>("65536", 0, 65535));
    CHECK_FALSE(number_in<std::uint16_t>("99999999999999999999999", 0, 65535));
    CHECK(number_in<int>("-5", -5, 5) == -5);
}

TEST_CASE("what is something else, or more than a number, is none", "[number]") {
    for (const std::string_view text : {"", " ", "-1", "-0", "+1", "1 ", " 1", "1.0", "1e1", "0x1", "1s", "one"}) {
        CAPTURE(text);
        CHECK_FALSE(number_in<std::uint32_t>(text, 0, 100));
    }
    CHECK_FALSE(number_in<std::uint32_t>(std::string_view("1\0", 2), 0, 100));
    CHECK(number_in<std::uint32_t>(std::string_view("123").substr(0, 2), 0, 100) == 12U);
}

}  // namespace lbsticky
