#include "core/cookie.hpp"

#include <string>
#include <vector>

#include "catch.hpp"

namespace lbsticky {
namespace {

using Cookies = std::vector<std::pair<std::string, std::string>>;

std::vector<std::string> values_of(std::string_view header, std::string_view name) {
    std::vector<std::string> values;
    CookieReader reader(header, name);
    while (const auto value = reader.next()) values.emplace_back(*value);
    return values;
}

// Whether the header has these cookies: for each name, these values in this order.
bool holds(std::string_view header, const Cookies& cookies) {
    std::vector<std::string> names = {"a", "b", "c", "JSESSIONID", "$Version"};
    for (const auto& cookie : cookies) names.push_back(cookie.first);
    for (const std::string& name : names) {
        std::vector<std::string> expected;
        for (const auto& cookie : cookies)
            if (cookie.first == name) expected.push_back(cookie.second);
        if (values_of(header, name) != expected) return false;
    }
    return true;
}

struct Row {
    std::string header;
    Cookies cookies;
};

void check(const std::vector<Row>& rows) {
    for (const auto& [header, cookies] : rows) {
        CAPTURE(header);
        CHECK(holds(header, cookies));
    }
}

}  // namespace

TEST_CASE("cookies are read as browsers send them", "[cookie]") {
    check({
        {"JSESSIONID=12345.node1", {{"JSESSIONID", "12345.node1"}}},
        {"a=1; b=2; c=3", {{"a", "1"}, {"b", "2"}, {"c", "3"}}},
        {"a=1;b=2", {{"a", "1"}, {"b", "2"}}},
        {"a=1; a=2", {{"a", "1"}, {"a", "2"}}},
        {"$Version=1; a=1; $Path=/", {{"$Version", "1"}, {"a", "1"}, {"$Path", "/"}}},
    });
}

TEST_CASE("a comma separates cookies too, because httpd joins Cookie lines with one", "[cookie]") {
    check({
        {"a=1, b=2", {{"a", "1"}, {"b", "2"}}},
        {"a=1,b=2;c=3,d=4", {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}},
        {"a=1; b=2, c=3; d=4", {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}},
        {",,a=1,,;,b=2,", {{"a", "1"}, {"b", "2"}}},
    });
}

TEST_CASE("a pair of double quotes around a value is not part of it", "[cookie]") {
    check({
        {R"(a="12345.b")", {{"a", "12345.b"}}},
        {R"(a= "1" ; b="2")", {{"a", "1"}, {"b", "2"}}},
        {R"(a=" 1 ")", {{"a", " 1 "}}},
        {R"(a="")", {{"a", ""}}},
        {R"(a=""1"")", {{"a", R"("1")"}}},
        {R"(a="1)", {{"a", R"("1)"}}},
        {R"(a=1")", {{"a", R"(1")"}}},
        {R"(a=")", {{"a", R"(")"}}},
        {R"(a="1"x)", {{"a", R"("1"x)"}}},
        {R"(a='1')", {{"a", "'1'"}}},
        {R"("a"=1)", {{R"("a")", "1"}}},
        {R"(a="1;2")", {{"a", R"("1)"}}},
        {R"(a="1,b=2")", {{"a", R"("1)"}, {"b", R"(2")"}}},
    });
}

TEST_CASE("blanks around names and values are not part of them", "[cookie]") {
    check({
        {"  a = 1 ;\tb\t=\t2\t", {{"a", "1"}, {"b", "2"}}},
        {"a=1 2", {{"a", "1 2"}}},
        {"a b=1", {{"a b", "1"}}},
        {"a= ", {{"a", ""}}},
        {"a=\n1", {{"a", "\n1"}}},
    });
}

TEST_CASE("what has no equals sign or no name is no cookie", "[cookie]") {
    check({
        {"", {}},
        {" ", {}},
        {";", {}},
        {";;;,,,; ; ,", {}},
        {"=", {}},
        {"=1", {}},
        {"  =1; a=2", {{"a", "2"}}},
        {"a", {}},
        {"a; b=2", {{"b", "2"}}},
        {"a=1; b", {{"a", "1"}}},
        {"a;=;b;=c;d=e", {{"d", "e"}}},
        {"JSESSIONID", {}},
    });
}

TEST_CASE("only the first equals sign divides name and value", "[cookie]") {
    check({
        {"a==", {{"a", "="}}},
        {"a=b=c", {{"a", "b=c"}}},
        {"a=MTIzNDU=", {{"a", "MTIzNDU="}}},
        {"a=;b=", {{"a", ""}, {"b", ""}}},
    });
}

TEST_CASE("bytes of all values pass through unchanged", "[cookie]") {
    check({
        {"caf\xc3\xa9=\xe2\x82\xac", {{"caf\xc3\xa9", "\xe2\x82\xac"}}},
        {"a=\xff\xfe\x80; b=2", {{"a", "\xff\xfe\x80"}, {"b", "2"}}},
        {std::string("a=1\0; b\0=2", 10), {{"a", std::string("1\0", 2)}, {std::string("b\0", 2), "2"}}},
        {"a=\x01\x7f", {{"a", "\x01\x7f"}}},
    });
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        if (std::string_view("; ,\t\"").find(c) != std::string_view::npos) continue;
        CAPTURE(byte);
        CHECK(holds(std::string("a=x") + c + "y; b=" + c, {{"a", std::string("x") + c + "y"}, {"b", {c}}}));
    }
}

TEST_CASE("a thousand cookies are read, and values of 8 KB", "[cookie]") {
    std::string header;
    Cookies expected;
    for (int i = 0; i < 1000; ++i) {
        header += "name" + std::to_string(i) + "=" + std::to_string(i * i) + "; ";
        expected.emplace_back("name" + std::to_string(i), std::to_string(i * i));
    }
    CHECK(holds(header, expected));

    const std::string large(8192, 'x');
    CHECK(holds("a=" + large + "; b=\"" + large + "\"", {{"a", large}, {"b", large}}));
    CHECK(holds(large + "=1", {{large, "1"}}));
    CHECK(holds(large, {}));
    CHECK(holds(std::string(8192, ';'), {}));
    CHECK(holds(std::string(8192, ','), {}));
    CHECK(holds(std::string(8192, '='), {}));
    CHECK(holds(std::string(8192, ' '), {}));
    CHECK(holds("a=" + std::string(8192, '"'), {{"a", std::string(8190, '"')}}));
}

TEST_CASE("a name that only contains ours, or stands in a value, is not ours", "[cookie]") {
    for (const char* header :
         {"xsid=1", "sidx=1", "sid x=1", "x sid=1", "x=sid=1", "x= sid=1", "sid", "sid; =1", "x=;sid"}) {
        CAPTURE(header);
        CHECK(values_of(header, "sid").empty());
    }
    CHECK(values_of("xsid=1; sidx=2; x=sid=3; sid=4; sidsid=5, sid=6", "sid") == std::vector<std::string>{"4", "6"});
    CHECK(values_of("aa=1; a=2; aaa=3", "a") == std::vector<std::string>{"2"});
}

TEST_CASE("a cookie is taken out of a header, and the others stay as they are", "[cookie]") {
    const auto without = [](std::string_view header, std::string_view name) {
        std::string kept(header.size(), '?');
        kept.resize(without_cookie(header, name, kept.data()));
        std::string in_place(header);
        in_place.resize(without_cookie(in_place, name, in_place.data()));
        CHECK(in_place == kept);
        return kept;
    };
    struct Line {
        const char* header;
        const char* kept;
    };
    for (const auto& [header, kept] : std::vector<Line>{
             {"", ""},
             {"x=1", ""},
             {"x=1; x=2", ""},
             {"x=1;", ""},
             {"a=1; b=2", "a=1; b=2"},
             {"x=1; a=2", "a=2"},
             {"a=1; x=2", "a=1"},
             {"a=1; x=2; b=3", "a=1; b=3"},
             {"a=1; x=2; x=3; b=4", "a=1; b=4"},
             {"x=1; x=2; a=3", "a=3"},
             {"a=1; x=2; x=3", "a=1"},
             {"a=1;x=2;b=3", "a=1;b=3"},
             {"a=1, x=2, b=3", "a=1, b=3"},
             {"a=1;  b=\"2\" ; x = \"3\" ;c", "a=1;  b=\"2\" ;c"},
             {"xx=1; x; ax=2; a=x=3", "xx=1; x; ax=2; a=x=3"},
             {"a=\xff; x=\xfe; b=\x80", "a=\xff; b=\x80"},
         }) {
        CAPTURE(header);
        CHECK(without(header, "x") == kept);
    }
}

TEST_CASE("values of cookies are made shorter, and everything else stays", "[cookie]") {
    const auto without_route = [](std::string_view value) { return value.substr(0, value.find(".n")); };
    struct Row {
        const char* header;
        const char* shorter;
    };
    for (const Row& row : {Row{"", ""}, Row{"sid=a", "sid=a"}, Row{"sid=a.n1", "sid=a"},
                           Row{"other=b.n1; sid=a.n1", "other=b.n1; sid=a"},
                           Row{"sid=a.n1; xsid=a.n1; sid=c.n2", "sid=a; xsid=a.n1; sid=c"},
                           Row{"sid = a.n1 ; x", "sid = a ; x"}, Row{"sid=\"a.n1\"; x=1", "sid=\"a\"; x=1"},
                           Row{"sid=a.n1,sid=b.n1", "sid=a,sid=b"}, Row{"sid=.n1;sid=;sid", "sid=;sid=;sid"}}) {
        INFO(row.header);
        std::string kept(row.header);
        kept.resize(with_shorter_values(row.header, "sid", kept.data(), without_route));
        CHECK(kept == row.shorter);
        std::string in_place(row.header);
        in_place.resize(with_shorter_values(in_place, "sid", in_place.data(), without_route));
        CHECK(in_place == row.shorter);
    }
    for (const Row& row : {Row{"a.n1", "a"}, Row{"\"a.n1\"", "\"a\""}, Row{"a", "a"}, Row{"", ""}, Row{"\"", "\""}}) {
        INFO(row.header);
        std::string kept(row.header);
        kept.resize(with_shorter_value(row.header, kept.data(), without_route));
        CHECK(kept == row.shorter);
    }
}

TEST_CASE("values point into the header", "[cookie]") {
    const std::string header = "x=0;  name = \"value\" ; y=1";
    CookieReader reader(header, "name");
    const auto value = reader.next();
    REQUIRE(value);
    CHECK(value->data() == header.data() + 14);
    CHECK(header.substr(reader.begin(), reader.end() - reader.begin()) == "  name = \"value\" ");
    CHECK_FALSE(reader.next());
}

TEST_CASE("after the last cookie next() gives nothing, again and again", "[cookie]") {
    CookieReader reader("a=1; b", "a");
    CHECK(reader.next());
    CHECK_FALSE(reader.next());
    CHECK_FALSE(reader.next());
    CookieReader of_nothing(std::string_view(), "a");
    CHECK_FALSE(of_nothing.next());
}

TEST_CASE("the name of a cookie is a token", "[cookie]") {
    constexpr std::string_view characters =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    CHECK(is_cookie_name("JSESSIONID"));
    CHECK(is_cookie_name("__Host-sid.v2"));
    CHECK(is_cookie_name(characters));
    CHECK_FALSE(is_cookie_name(""));
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool is_one = characters.find(c) != std::string_view::npos;
        CAPTURE(byte);
        CHECK(is_cookie_name(std::string(1, c)) == is_one);
        CHECK(is_cookie_name(std::string("a") + c) == is_one);
        CHECK(is_cookie_name(std::string(1, c) + "a") == is_one);
    }
}

TEST_CASE("a cookie of a similar name is found, but none of the same name", "[cookie]") {
    CHECK(find_like_cookie("a=1; jsessionid=x; b=2", "JSESSIONID") == "jsessionid");
    CHECK(find_like_cookie("JSESSIONID=1,JSESIONID=2", "JSESSIONID") == "JSESIONID");
    CHECK(find_like_cookie("JSESSIONID=1; a=jsessionid", "JSESSIONID").empty());
    CHECK(find_like_cookie("", "JSESSIONID").empty());
    CHECK(find_like_cookie("; ;,=;jsession id=1", "JSESSIONID").empty());
    std::string many;
    for (int i = 0; i < 64; ++i) many += "a=1;";
    CHECK(find_like_cookie(many + "jsessionid=1", "JSESSIONID").empty());
}

TEST_CASE("by the rules of stickysession= a blank may stand before a name", "[cookie]") {
    CHECK(CookieReader("a=b SID=1", "SID", ParsingRules::stickysession).next() == "1");
    CHECK(CookieReader("a=bSID=1", "SID", ParsingRules::stickysession).next() == std::nullopt);
    CHECK(CookieReader("a=b SID=1", "SID").next() == std::nullopt);
}

}  // namespace lbsticky
