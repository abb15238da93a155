#include "core/session.hpp"

#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/session_name.hpp"

namespace lbsticky {
namespace {

using Found = std::optional<std::string>;
const Found nothing;

Found parameter(std::string_view url, std::string_view name = "jsessionid") {
    const auto value = find_parameter(url, name);
    return value ? Found(*value) : nothing;
}

std::vector<std::string> routes(std::string_view value, char separator = '.') {
    std::vector<std::string> candidates;
    RouteCandidates reader(value, separator);
    while (const auto route = reader.next()) candidates.emplace_back(*route);
    return candidates;
}

struct Row {
    std::string url;
    Found value;
};

void check(const std::vector<Row>& rows) {
    for (const auto& [url, value] : rows) {
        CAPTURE(url);
        CHECK(parameter(url) == value);
    }
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a path parameter is found in any part of the path", "[session]") {
    check({
        {"/app;jsessionid=12345.node1", "12345.node1"},
        {"/app;jsessionid=1/page.html", "1"},
        {"/a/b;jsessionid=1/c/d;x=2", "1"},
        {"/;jsessionid=1", "1"},
        {";jsessionid=1", "1"},
        {"/a;x=2;jsessionid=1", "1"},
        {"/a;x=2/b;jsessionid=1;y=3", "1"},
        {"/a;jsessionid=1?x=2", "1"},
        {"http://www.example/a;jsessionid=1", "1"},
    });
}

TEST_CASE("a parameter is found in the query", "[session]") {
    check({
        {"/?jsessionid=1", "1"},
        {"?jsessionid=1", "1"},
        {"/a?x=2&jsessionid=1&y=3", "1"},
        {"/a?x=2;jsessionid=1;y=3", "1"},
        {"/a?x=2?jsessionid=1?y=3", "1"},
        {"/a?jsessionid=1/2", "1/2"},
        {"/a?&&;jsessionid=1", "1"},
        {"??jsessionid=1", "1"},
    });
}

TEST_CASE("the first parameter of that name with a value counts, and the path comes first", "[session]") {
    check({
        {"/a;jsessionid=1;jsessionid=2", "1"},
        {"/a;jsessionid=1/b;jsessionid=2", "1"},
        {"/a;jsessionid=;jsessionid=2", "2"},
        {"/a;jsessionid=/b;jsessionid=2", "2"},
        {"/a;jsessionid;jsessionid=2", "2"},
        {"/a;jsessionid=1?jsessionid=2", "1"},
        {"/a;jsessionid=?jsessionid=2", "2"},
        {"/a?jsessionid=&jsessionid=2", "2"},
        {"/a?jsessionid=1&jsessionid=2", "1"},
    });
}

TEST_CASE("a parameter without a value is none", "[session]") {
    check({
        {"/a;jsessionid", nothing},
        {"/a;jsessionid=", nothing},
        {"/a;jsessionid=/", nothing},
        {"/a;jsessionid=;", nothing},
        {"/a;jsessionid=?", nothing},
        {"/a?jsessionid", nothing},
        {"/a?jsessionid=", nothing},
        {"/a?jsessionid=&x=1", nothing},
    });
}

TEST_CASE("a name that only contains ours is another name", "[session]") {
    check({
        {"/a;xjsessionid=1", nothing},
        {"/a;jsessionidx=1", nothing},
        {"/a;jsession=1", nothing},
        {"/a;JSESSIONID=1", nothing},
        {"/a;x=jsessionid=1", nothing},
        {"/a;%6Asessionid=1", nothing},
        {"/a; jsessionid=1", nothing},
        {"/a;jsessionid =1", nothing},
        {"/a?xjsessionid=1", nothing},
        {"/a?jsessionidx=1", nothing},
        {"/a?x=jsessionid=1", nothing},
        {"/a?x/jsessionid=1", nothing},
        {"/a;xjsessionid=1;jsessionidx=2;jsessionid=3", "3"},
        {"/a?xjsessionid=1&jsessionidx=2&jsessionid=3", "3"},
    });
}

TEST_CASE("in the path there is no parameter without a semicolon", "[session]") {
    check({
        {"", nothing},
        {"/", nothing},
        {"/jsessionid=1", nothing},
        {"jsessionid=1", nothing},
        {"/a&jsessionid=1", nothing},
        {"/a;x/jsessionid=1", nothing},
        {"/jsessionid;=1", nothing},
        {"*", nothing},
        {"www.example:443", nothing},
    });
}

TEST_CASE("odd URLs give odd values, but never more than the URL has", "[session]") {
    check({
        {"/a;jsessionid==", "="},
        {"/a;jsessionid==1", "=1"},
        {"/a;jsessionid=1=2", "1=2"},
        {"/a;jsessionid=1&x=2", "1&x=2"},
        {"/a;jsessionid=%31%2Enode1", "%31%2Enode1"},
        {"/a;jsessionid=\"1\"", "\"1\""},
        {"/a;jsessionid=\xff\x80", "\xff\x80"},
        {"/a;;;jsessionid=1;;", "1"},
        {"/a;?;jsessionid=1", "1"},
        {"/a;/;/;jsessionid=1", "1"},
        {std::string("/a;jsessionid=\0", 15), std::string(1, '\0')},
    });
    const std::string large(8192, 'x');
    CHECK(parameter("/;jsessionid=" + large) == large);
    CHECK(parameter(std::string(8192, ';')) == nothing);
    CHECK(parameter(std::string(8192, '?')) == nothing);
    CHECK(parameter(std::string(8192, ';') + "jsessionid=1") == Found("1"));
    CHECK(parameter(std::string(8192, '?') + "jsessionid=1") == Found("1"));
}

TEST_CASE("names of parameters may be short, but not empty", "[session]") {
    CHECK(parameter("/;s=1", "s") == Found("1"));
    CHECK(parameter("/;ss=1", "s") == nothing);
    CHECK(parameter("/;=1", "") == nothing);
    CHECK(parameter("/?=1", "") == nothing);
    CHECK(parameter("/?x=1", "") == nothing);
}

TEST_CASE("a value that was found points into the URL", "[session]") {
    const std::string path = "/a;jsessionid=12/b";
    CHECK(find_parameter(path, "jsessionid")->data() == path.data() + 14);
    const std::string query = "/a?jsessionid=12";
    CHECK(find_parameter(query, "jsessionid")->data() == query.data() + 14);
}

TEST_CASE("what follows a separator may be a route, the longest first", "[session]") {
    CHECK(routes("12345.node1") == Names{"node1"});
    CHECK(routes("1.2.3") == Names{"2.3", "3"});
    CHECK(routes(".node1") == Names{"node1"});
    CHECK(routes("1..2") == Names{".2", "2"});
    CHECK(routes("12345").empty());
    CHECK(routes("").empty());
    CHECK(routes(".").empty());
    CHECK(routes("..") == Names{"."});
    CHECK(routes("1.").empty());
    CHECK(routes("1.2.") == Names{"2."});
}

TEST_CASE("any one character may be the separator", "[session]") {
    CHECK(routes("1!2.3", '!') == Names{"2.3"});
    CHECK(routes("1.2.3", '!').empty());
    CHECK(routes("1~2~3", '~') == Names{"2~3", "3"});
    CHECK(routes("1:a", ':') == Names{"a"});
    CHECK(routes("1\xff"
                 "a",
                 '\xff') == Names{"a"});
    CHECK(routes("1 a", ' ') == Names{"a"});
}

TEST_CASE("without a separator only the whole value may be a route", "[session]") {
    CHECK(routes("node1", '\0') == Names{"node1"});
    CHECK(routes("1.node1", '\0') == Names{"1.node1"});
    CHECK(routes(std::string(63, 'r'), '\0') == Names{std::string(63, 'r')});
    CHECK(routes(std::string(64, 'r'), '\0').empty());
    CHECK(routes(std::string(65, 'r'), '\0').empty());
    CHECK(routes(std::string(8192, 'r'), '\0').empty());
}

TEST_CASE("nothing longer than a route can be is looked at", "[session]") {
    CHECK(longest_route == 63);
    const std::string longest(63, 'r');
    CHECK(routes("1." + longest) == Names{longest});
    CHECK(routes("." + longest) == Names{longest});
    CHECK(routes("1.r" + longest).empty());
    CHECK(routes("1.2." + longest) == Names{longest});
    CHECK(routes(std::string(8192, '1') + ".a") == Names{"a"});
    CHECK(routes("1." + std::string(8192, 'r')).empty());
    CHECK(routes(std::string(8192, '.') + "r").size() == 63);
    CHECK(routes(std::string(8192, '.')).size() == 63);
    CHECK(routes(std::string(8192, '.')).front() == std::string(63, '.'));
    CHECK(routes(std::string(8192, '.')).back() == ".");
}

TEST_CASE("NAME names both a cookie and a parameter, NAME|PARAM each of them", "[session]") {
    struct {
        std::string_view text;
        std::optional<std::pair<std::string, std::string>> names;
    } const rows[] = {
        {"JSESSIONID", {{"JSESSIONID", "JSESSIONID"}}},
        {"JSESSIONID|jsessionid", {{"JSESSIONID", "jsessionid"}}},
        {"__Host-sid|s", {{"__Host-sid", "s"}}},
        {"a", {{"a", "a"}}},
        {"a|a", {{"a", "a"}}},
        {"", {}},
        {"|", {}},
        {"a|", {}},
        {"|a", {}},
        {"a|b|c", {}},
        {"a*", {}},
        {"*", {}},
        {"a|b*", {}},
        {"a*|b", {}},
        {"a||b", {}},
        {"a b", {}},
        {"a|b c", {}},
        {" a", {}},
        {"a=b", {}},
        {"a;b", {}},
        {"a|b;c", {}},
        {"a,b", {}},
        {"a/b", {}},
        {"\"a\"", {}},
        {"caf\xc3\xa9", {}},
        {"a\t", {}},
    };
    for (const auto& [text, names] : rows) {
        CAPTURE(text);
        const auto parsed = parse_session_name(text);
        CHECK(parsed.has_value() == names.has_value());
        if (parsed && names) {
            CHECK(parsed->cookie == names->first);
            CHECK(parsed->parameter == names->second);
        }
    }
    CHECK_FALSE(parse_session_name(std::string_view("a\0b", 3)));
}

TEST_CASE("a session id may stand in a header or be what an expression says", "[session]") {
    struct Row {
        std::string_view text, behind;
        Where where;
    };
    for (const Row& row : {Row{"header:X-Session", "X-Session", Where::header},
                           {"expr:%{REMOTE_USER}", "%{REMOTE_USER}", Where::expression},
                           {"expr:a:b c", "a:b c", Where::expression}}) {
        CAPTURE(row.text);
        const auto parsed = parse_session_name(row.text);
        REQUIRE(parsed);
        CHECK(parsed->where == row.where);
        CHECK(parsed->behind_word() == row.behind);
        CHECK(text_of(*parsed) == row.text);
    }
    for (const std::string_view text :
         {"header:", "header:a:b", "header:a b", "header:a|b", "header:*", "expr:", "Header:a"})
        CHECK_FALSE(parse_session_name(text));
}

TEST_CASE("what a session is placed by is the same whether its route is known or not", "[session]") {
    const std::string id32(32, '0');
    struct Row {
        std::string value, known_id, key;  // a "+" behind the key: with the client's address
    };
    const std::vector<Row> rows{
        {id32, "", id32},                         // no route
        {"12345", "", "12345"},                   // however short
        {"12345.", "", "12345."},                 // an empty route
        {id32 + ".n1", id32, id32},               // a known route
        {id32 + ".n1", "", id32},                 // the same, unknown
        {id32 + ".dc1.n1", id32, id32 + ".dc1"},  // a route with a separator
        {id32 + ".dc1.n1", "", id32 + ".dc1"},
        {id32 + ".n1.n2", id32, id32 + ".n1"},  // a list
        {"0123456789abcdef.n1", "0123456789abcdef", "0123456789abcdef"},
        {"0123456789abcdef.n1", "", "0123456789abcdef"},
        {"0123456789abcde.n1", "0123456789abcde", "0123456789abcde.n1"},  // shorter than an id
        {"0123456789abcde.n1", "", "0123456789abcde.n1"},
        {"12345678.n1", "12345678", "12345678.n1"},
        {"12345678.n1", "", "12345678.n1"},
        {"1234567.n1", "1234567", "1234567+"},  // too short for an id of its own
        {"1234567.n1", "", "1234567+"},
        {"sticky.dc1.n1", "sticky", "sticky+"},
        {"sticky.dc1.n1", "", "sticky+"},
        {"sticky.web-server-01.example.com", "", "sticky+"},
        {"v1." + id32 + ".n1", "v1." + id32, "v1." + id32},  // an id, though its first part is short
        {"v1." + id32 + ".n1", "", "v1." + id32},
        {"1." + std::string(64, 's'), "", "1." + std::string(64, 's')},  // nothing that long is a route
        {"eyJhbGciOiJIUzI1NiJ9.payload.signature", "",
         "eyJhbGciOiJIUzI1NiJ9.payload"},  // not the header alone, with which all tokens begin
    };
    for (const Row& row : rows) {
        const PlacementKey key = placement_key(row.value, row.known_id, '.');
        CAPTURE(row.value, row.known_id);
        CHECK(std::string(key.id) + (key.with_address ? "+" : "") == row.key);
    }
    CHECK(placement_key("12345.n1", "", '\0').id == "12345.n1");
    CHECK(placement_key("12345!n1", "", '!').with_address);
}

TEST_CASE("a session id is never shown whole", "[session]") {
    CHECK(shortened("") == "...(0)");
    CHECK(shortened("a") == "...(1)");
    CHECK(shortened("ab") == "a...(2)");
    CHECK(shortened("abc") == "a...(3)");
    CHECK(shortened("abcdefg") == "abc...(7)");
    CHECK(shortened("abcdefgh") == "abcd...(8)");
    CHECK(shortened("0123456789ABCDEF0123456789ABCDEF") == "0123...(32)");
    CHECK(shortened(std::string(8192, 'x')) == "xxxx...(8192)");
    std::string id;
    for (char c = 'A'; c <= 'Z'; ++c) {
        id += c;
        CAPTURE(id);
        CHECK(shortened(id).find(id) == std::string::npos);
    }
}

TEST_CASE("by the rules of stickysession= anything may stand before a parameter's name", "[session]") {
    constexpr auto lenient = ParsingRules::stickysession;
    CHECK(find_parameter("/app/xsid=1.a", "sid", lenient) == "1.a");
    CHECK(find_parameter("/app/sid=1.a/page", "sid", lenient) == "1.a");
    CHECK(find_parameter("/app;sid=1.a?x", "sid", lenient) == "1.a");
    CHECK(find_parameter("/app?xsid=1.a&b", "sid", lenient) == "1.a");
    CHECK(find_parameter("/app?sid&b", "sid", lenient) == std::nullopt);
    CHECK(find_parameter("/app;sid=?1.a", "sid", lenient) == "1.a");
    CHECK(find_parameter("/app;sid=?", "sid", lenient) == std::nullopt);
    CHECK(find_parameter("/app/xsid=1.a", "sid") == std::nullopt);
}

}  // namespace lbsticky
