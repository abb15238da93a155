#include "core/splice.hpp"

#include <string>
#include <vector>

#include "catch.hpp"

namespace lbsticky {
namespace {

// The text of the pieces with "[]" before each marker.
std::string spliced(std::string_view marker, const std::vector<std::string>& pieces) {
    Splice splice(marker);
    std::string out;
    const auto text = [&out](std::string_view part) {
        CHECK_FALSE(part.empty());
        out += part;
    };
    for (const std::string& piece : pieces) splice.take(piece, text, [&out] { out += "[]"; });
    splice.flush(text);
    return out;
}

}  // namespace

TEST_CASE("something is put in before each marker", "[splice]") {
    CHECK(spliced("<hr />\n", {"a<hr />\nb<hr />\n"}) == "a[]<hr />\nb[]<hr />\n");
    CHECK(spliced("<hr />\n", {"<hr />\n<hr />\n"}) == "[]<hr />\n[]<hr />\n");
    CHECK(spliced("<hr />\n", {"a<hr />b<hr/>\n"}) == "a<hr />b<hr/>\n");
    CHECK(spliced("<hr />\n", {"<<hr />\n<h"}) == "<[]<hr />\n<h");
    CHECK(spliced("<hr />\n", {"<hr <hr />\n"}) == "<hr []<hr />\n");
    CHECK(spliced("x", {"axbx"}) == "a[]xb[]x");
    CHECK(spliced("<hr />\n", {}).empty());
    CHECK(spliced("<hr />\n", {"", "", ""}).empty());
}

TEST_CASE("wherever the text is cut, the same comes out", "[splice]") {
    const std::string text = "<h<hr />\n<hr />\n<hr /><hr />x<hr /";
    const std::string whole = spliced("<hr />\n", {text});
    REQUIRE(whole == "<h[]<hr />\n[]<hr />\n<hr /><hr />x<hr /");
    for (std::size_t a = 0; a <= text.size(); ++a)
        for (std::size_t b = a; b <= text.size(); ++b)
            CHECK(spliced("<hr />\n", {text.substr(0, a), text.substr(a, b - a), text.substr(b)}) == whole);
    std::vector<std::string> bytes;
    for (const char c : text) bytes.emplace_back(1, c);
    CHECK(spliced("<hr />\n", bytes) == whole);
}

TEST_CASE("a flush gives out all of the text so far, and the search begins anew", "[splice]") {
    Splice splice("<hr />");
    std::string out;
    const auto text = [&out](std::string_view part) { out += part; };
    const auto found = [&out] { out += "[]"; };
    splice.take("a<hr", text, found);
    CHECK(out == "a");
    splice.flush(text);
    CHECK(out == "a<hr");
    splice.take(" /><hr />", text, found);
    CHECK(out == "a<hr />[]<hr />");
}

}  // namespace lbsticky
