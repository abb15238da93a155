#include "core/duration.hpp"

#include "catch.hpp"

namespace lbsticky {

TEST_CASE("a duration is seconds, or a number with its unit", "[duration]") {
    CHECK(parse_duration("30") == 30'000);
    CHECK(parse_duration("500ms") == 500);
    CHECK(parse_duration("30s") == 30'000);
    CHECK(parse_duration("30m") == 1'800'000);
    CHECK(parse_duration("12h") == 43'200'000);
    CHECK(parse_duration("7d") == 604'800'000);
    CHECK(parse_duration("366d") == 31'622'400'000);
    CHECK(parse_duration("0") == 0);
    CHECK(parse_duration("0d") == 0);
    CHECK(parse_duration("007s") == 7000);
}

TEST_CASE("anything else is none", "[duration]") {
    for (const char* text : {"",
                             "s",
                             "ms",
                             "-1",
                             "+1",
                             " 1",
                             "1 ",
                             "1 s",
                             "1S",
                             "1M",
                             "1sec",
                             "1.5s",
                             "1,5",
                             "0x10",
                             "1w",
                             "1s1",
                             "367d",
                             "8785h",
                             "18446744073709551615",
                             "18446744073709551616",
                             "99999999999999d"})
        CHECK_FALSE(parse_duration(text));
}

}  // namespace lbsticky
