#include "core/duration.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "catch.hpp"

namespace lbsticky {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr milliseconds longest = milliseconds::max();

}  // namespace

TEST_CASE("a duration is a number of seconds, or a number with a unit", "[duration]") {
    struct {
        std::string_view text;
        milliseconds meaning;
    } const rows[] = {
        {"0", 0ms},     {"1", 1s},    {"90", 90s},  {"500ms", 500ms}, {"0ms", 0ms}, {"30s", 30s},
        {"30m", 30min}, {"12h", 12h}, {"7d", 168h}, {"007d", 168h},   {"5MS", 5ms}, {"5Ms", 5ms},
        {"5S", 5s},     {"5M", 5min}, {"5H", 5h},   {"5D", 120h},     {"0d", 0ms},
    };
    for (const auto& [text, meaning] : rows) {
        CAPTURE(text);
        CHECK(parse_duration(text, 0ms, longest) == meaning);
    }
}

TEST_CASE("what is something else is no duration", "[duration]") {
    for (const std::string_view text :
         {"",    " ",   "s",     "ms",   "d",    "-1",        "+1",        "-0",   "1.5h",      "1,5h",
          "1 s", " 1",  "1 ",    "1s ",  "1sec", "1ss",       "1mm",       "1msm", "1sm",       "1w",
          "1y",  "1us", "1h30m", "0x10", "1e3",  "\xc2\xb5s", "1\xc2\xb5", "1min", "unlimited", "1m\n"}) {
        CAPTURE(text);
        CHECK(parse_duration(text, 0ms, longest) == std::nullopt);
    }
    CHECK(parse_duration(std::string_view("1\0", 2), 0ms, longest) == std::nullopt);
    CHECK(parse_duration(std::string_view("1s\0", 3), 0ms, longest) == std::nullopt);
}

TEST_CASE("only what stands in the text is read", "[duration]") {
    CHECK(parse_duration(std::string_view("15ms").substr(0, 2), 0ms, longest) == 15s);
    CHECK(parse_duration(std::string_view("15ms").substr(0, 3), 0ms, longest) == 15min);
    CHECK(parse_duration(std::string_view("15ms").substr(0, 1), 0ms, longest) == 1s);
}

TEST_CASE("a duration lies within its bounds, which are allowed", "[duration]") {
    for (const std::string_view text : {"500ms", "501ms", "1", "1s", "59s", "1m", "60", "60000ms"}) {
        CAPTURE(text);
        CHECK(parse_duration(text, 500ms, 1min));
    }
    for (const std::string_view text : {"0", "0d", "499ms", "60001ms", "61", "61s", "2m", "1h", "1d"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_duration(text, 500ms, 1min));
    }
    // A bound may lie between two numbers of a unit.
    CHECK(parse_duration("1", 0ms, 1999ms) == 1s);
    CHECK_FALSE(parse_duration("2", 0ms, 1999ms));
    CHECK_FALSE(parse_duration("1", 1001ms, 1999ms));
    CHECK(parse_duration("0", 0ms, 0ms) == 0ms);
    CHECK_FALSE(parse_duration("1ms", 0ms, 0ms));
}

TEST_CASE("a number that is too large for any type is more than is allowed", "[duration]") {
    CHECK(parse_duration("9223372036854775807ms", 0ms, longest) == longest);
    CHECK(parse_duration("9223372036854775", 0ms, longest) == milliseconds(9'223'372'036'854'775'000));
    CHECK(parse_duration("106751991167d", 0ms, longest) == milliseconds(9'223'372'036'828'800'000));
    for (const std::string_view text : {"9223372036854775808ms", "18446744073709551615ms", "18446744073709551616ms",
                                        "18446744073709551617ms", "9223372036854776", "18446744073709552",
                                        "106751991168d", "213503982335d", "99999999999999999999999999999999999999d"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_duration(text, 0ms, longest));
    }
}

TEST_CASE("people are told a duration in the largest unit that fits", "[duration]") {
    for (const auto& [seconds, words] : {std::pair<std::uint64_t, const char*>{0, "0 s"},
                                         {59, "59 s"},
                                         {60, "1 min"},
                                         {3599, "59 min"},
                                         {3600, "1 h"},
                                         {86399, "23 h"},
                                         {86400, "1 d"},
                                         {8640000, "100 d"}})
        CHECK(duration_text(seconds) == words);
}

}  // namespace lbsticky
