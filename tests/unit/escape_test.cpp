#include "core/escape.hpp"

#include "catch.hpp"

namespace lbsticky {

using namespace std::string_literals;

TEST_CASE("plain text stays as it is", "[escape]") {
    const std::string plain = "http://127.0.0.1:8080/a?b=c;d ~!$%()*+,-.[]^_`{|}@#";
    CHECK(escape_markup(plain) == plain);
    CHECK(json_string(plain) == "\"" + plain + "\"");
    CHECK(escape_label(plain) == plain);
    CHECK(escape_markup("").empty());
}

TEST_CASE("what has a meaning in a format is escaped there", "[escape]") {
    const std::string text = "<a href='x' title=\"y\">&\\\n";
    CHECK(escape_markup(text) == "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;\\&#65533;");
    CHECK(json_string(text) == "\"<a href='x' title=\\\"y\\\">&\\\\\\u000a\"");
    CHECK(escape_label(text) == "<a href='x' title=\\\"y\\\">&\\\\\\n");
}

TEST_CASE("control characters cannot break a page or a line", "[escape]") {
    const std::string controls = "\0\t\r\x1b\x7f\xc2\x9f"s;
    CHECK(escape_markup(controls) == "&#65533;&#65533;&#65533;&#65533;&#65533;&#65533;");
    CHECK(json_string(controls) == "\"\\u0000\\u0009\\u000d\\u001b\\u007f\\u009f\"");
    CHECK(escape_label("a\rb") ==
          "a\xEF\xBF\xBD"
          "b");
}

TEST_CASE("characters beyond ASCII are kept", "[escape]") {
    const std::string text = "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8D\xAA \xF4\x8F\xBF\xBF";  // é € 🍪, and U+10FFFF
    CHECK(escape_markup(text) == "&#233; &#8364; &#127850; &#1114111;");
    CHECK(json_string(text) == "\"" + text + "\"");
    CHECK(escape_label(text) == text);
}

TEST_CASE("what is not UTF-8 is replaced byte by byte", "[escape]") {
    for (const auto& [bytes, replaced] : {
             std::pair{"\xE9"s, 1},                 // Latin-1
             std::pair{"\x80"s, 1},                 // a continuation byte, with nothing before it
             std::pair{"\xC3"s, 1},                 // cut off
             std::pair{"\xE2\x82"s, 2},             // cut off
             std::pair{"\xF0\x9F\x8D"s, 3},         // cut off
             std::pair{"\xC0\xAF"s, 2},             // overlong
             std::pair{"\xE0\x80\xAF"s, 3},         // overlong
             std::pair{"\xED\xA0\x80"s, 3},         // half of a surrogate pair
             std::pair{"\xF4\x90\x80\x80"s, 4},     // above U+10FFFF
             std::pair{"\xF8\x88\x80\x80\x80"s, 5}  // five bytes are never UTF-8
         }) {
        std::string expected;
        for (int i = 0; i < replaced; ++i) expected += "&#65533;";
        CAPTURE(bytes.size());
        CHECK(escape_markup("a" + bytes + "z") == "a" + expected + "z");
    }
    CHECK(escape_markup("\xEF\xBF\xBF") == "&#65533;");  // U+FFFF: no character, and not allowed in XML
    CHECK(json_string("a\xE9z") == "\"a\xEF\xBF\xBDz\"");
}

}  // namespace lbsticky
