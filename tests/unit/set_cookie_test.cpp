#include "core/set_cookie.hpp"

#include <string>
#include <vector>

#include "catch.hpp"

namespace lbsticky {
namespace {

// The attributes that a client is sent, with or without TLS, if these are configured.
std::string with(const std::vector<std::string>& arguments, bool tls = false) {
    CookieAttributes attributes;
    for (const auto& argument : arguments) {
        CAPTURE(argument);
        CHECK(set_attribute(attributes, argument) == std::nullopt);
    }
    return attributes_text(attributes, tls);
}

std::string refusal(std::string_view argument) {
    CookieAttributes attributes;
    return set_attribute(attributes, argument).value_or("");
}

}  // namespace

TEST_CASE("by default a cookie is for the whole site, not for scripts, and secure if the client uses TLS",
          "[set_cookie]") {
    CHECK(with({}) == "; Path=/; HttpOnly; SameSite=Lax");
    CHECK(with({}, true) == "; Path=/; Secure; HttpOnly; SameSite=Lax");
}

TEST_CASE("every attribute is written as in RFC 6265bis", "[set_cookie]") {
    CHECK(with({"path=/api"}) == "; Path=/api; HttpOnly; SameSite=Lax");
    CHECK(with({"domain=example.com"}) == "; Path=/; Domain=example.com; HttpOnly; SameSite=Lax");
    CHECK(with({"maxage=90"}) == "; Path=/; Max-Age=90; HttpOnly; SameSite=Lax");
    CHECK(with({"maxage=30m"}) == "; Path=/; Max-Age=1800; HttpOnly; SameSite=Lax");
    CHECK(with({"maxage=12h"}) == "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax");
    CHECK(with({"maxage=7d"}) == "; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
    CHECK(with({"httponly=off"}) == "; Path=/; SameSite=Lax");
    CHECK(with({"httponly=on"}) == "; Path=/; HttpOnly; SameSite=Lax");
    CHECK(with({"secure=on"}) == "; Path=/; Secure; HttpOnly; SameSite=Lax");
    CHECK(with({"secure=off"}, true) == "; Path=/; HttpOnly; SameSite=Lax");
    CHECK(with({"secure=auto"}, true) == "; Path=/; Secure; HttpOnly; SameSite=Lax");
    CHECK(with({"samesite=strict"}) == "; Path=/; HttpOnly; SameSite=Strict");
    CHECK(with({"samesite=none"}) == "; Path=/; HttpOnly; SameSite=None");
    CHECK(with({"samesite=off"}) == "; Path=/; HttpOnly");
    CHECK(with({"partitioned=on", "secure=on"}) == "; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned");
    CHECK(with({"nocache=on"}) == "; Path=/; HttpOnly; SameSite=Lax");
    CHECK(with({"SameSite=STRICT", "HttpOnly=Off", "MaxAge=1H"}) == "; Path=/; Max-Age=3600; SameSite=Strict");
}

TEST_CASE("a bad attribute is refused with what is allowed, and leaves the others alone", "[set_cookie]") {
    const std::string keys =
        "KEY=VALUE, where KEY is path, domain, maxage, httponly, secure, samesite, partitioned or nocache";
    for (const char* argument : {"", "pfad", "=", "=/", "pfad=/", "path =/", "maxage-"}) {
        CAPTURE(argument);
        CHECK(refusal(argument) == "'" + std::string(argument) + "' is not allowed: " + keys);
    }
    CHECK(refusal("httponly=yes") == "'httponly=yes' is not allowed: httponly takes on or off");
    CHECK(refusal("secure=maybe") == "'secure=maybe' is not allowed: secure takes auto, on or off");
    CHECK(refusal("samesite=") == "'samesite=' is not allowed: samesite takes lax, strict, none or off");
    for (const char* value : {"-1", "5x", "", "0", "0d", "1 m", "m", "1.5h", "1mm", "99999999999999999999", "3651d",
                              "+5", "5s", "5S", "5000ms", "5000MS"}) {
        CAPTURE(value);
        CHECK(refusal(std::string("maxage=") + value).find("maxage takes seconds, or a number with m, h or d") !=
              std::string::npos);
    }
    for (const char* value : {"", "api", "/a b", "/a;b", "/\x7f", "/\xc3\xa4"}) {
        CAPTURE(value);
        CHECK(refusal(std::string("path=") + value).find("path takes a path that begins with /") != std::string::npos);
    }
    for (const char* value : {"", ".", "a b", "a;b", "a/b", "\xc3\xa4"}) {
        CAPTURE(value);
        CHECK(refusal(std::string("domain=") + value).find("domain takes a host name") != std::string::npos);
    }
    CookieAttributes attributes;
    CHECK(set_attribute(attributes, "path=bad"));
    CHECK(attributes.path == "/");
}

TEST_CASE("a key in a foreign spelling is refused, with its spelling here", "[set_cookie]") {
    const std::string age = "seconds, or a number with m, h or d; at least 1 second, at most 3650d";
    struct {
        const char* argument;
        const char* name;
        std::string values;
    } const rows[] = {
        {"expires=1h", "maxage", age},
        {"Expires=Thu, 01 Jan 2026 00:00:00 GMT", "maxage", age},
        {"expires", "maxage", age},
        {"max-age=60", "maxage", age},
        {"Max-Age", "maxage", age},
        {"maxage", "maxage", age},
        {"same-site=lax", "samesite", "lax, strict, none or off"},
        {"SameSite", "samesite", "lax, strict, none or off"},
        {"http-only=on", "httponly", "on or off"},
        {"HttpOnly", "httponly", "on or off"},
        {"secure", "secure", "auto, on or off"},
        {"Partitioned", "partitioned", "on or off"},
        {"nocache", "nocache", "on or off"},
        {"no-cache", "nocache", "on or off"},
        {"domain", "domain", "a host name, of letters, digits, - and ."},
        {"path", "path", "a path that begins with /, of visible ASCII characters but ;"},
    };
    for (const auto& [argument, name, values] : rows) {
        CAPTURE(argument);
        CHECK(is_attribute(argument));
        CHECK(refusal(argument) == std::string("'") + argument + "' is not allowed: it is written " + name +
                                       "=VALUE here, where VALUE is " + values);
    }
    CHECK(is_attribute("path=/"));
    for (const char* argument : {"", "=", "=path", "mine", "paths", "max age"}) {
        CAPTURE(argument);
        CHECK_FALSE(is_attribute(argument));
    }
}

TEST_CASE("combinations that browsers refuse are refused", "[set_cookie]") {
    const auto wrong_with = [](std::string_view name, const std::vector<std::string>& arguments) {
        CookieAttributes attributes;
        for (const auto& argument : arguments) CHECK(set_attribute(attributes, argument) == std::nullopt);
        return contradiction(name, attributes).value_or("nothing");
    };
    CHECK(wrong_with("x", {}) == "nothing");
    CHECK(wrong_with("x", {"samesite=none"}) == "samesite=none needs secure=on");
    CHECK(wrong_with("x", {"samesite=none", "secure=on"}) == "nothing");
    CHECK(wrong_with("x", {"partitioned=on", "secure=auto"}) == "partitioned=on needs secure=on");
    CHECK(wrong_with("x", {"partitioned=on", "secure=on"}) == "nothing");
    CHECK(wrong_with("__Secure-x", {}) == "a name that begins with __Secure- needs secure=on");
    CHECK(wrong_with("__Secure-x", {"secure=on"}) == "nothing");
    const char* host = "a name that begins with __Host- needs secure=on, path=/ and no domain";
    CHECK(wrong_with("__host-x", {}) == host);
    CHECK(wrong_with("__SECURE-x", {}) == wrong_with("__Secure-x", {}));
    CHECK(wrong_with("__Host-x", {"secure=on"}) == "nothing");
    CHECK(wrong_with("__Host-x", {}) == host);
    CHECK(wrong_with("__Host-x", {"secure=on", "path=/api"}) == host);
    CHECK(wrong_with("__Host-x", {"secure=on", "domain=example.com"}) == host);
}

TEST_CASE("a value may have the characters that RFC 6265 allows", "[set_cookie]") {
    CHECK(is_cookie_value(".node1"));
    CHECK(is_cookie_value("!#$%&'()*+-./:<=>?@[]^_`{|}~"));
    for (const char* text : {" ", "a b", "a;b", "a,b", "\"", "\\", "\t", "\x7f", "\xc3\xa4"}) {
        CAPTURE(text);
        CHECK_FALSE(is_cookie_value(text));
    }
}

TEST_CASE("a cookie of a path is for that path and all below it", "[set_cookie]") {
    // RFC 6265, section 5.1.4.
    CHECK(path_matches("/", "/"));
    CHECK(path_matches("/app/page", "/"));
    CHECK(path_matches("/app", "/app"));
    CHECK(path_matches("/app/", "/app"));
    CHECK(path_matches("/app/page", "/app"));
    CHECK(path_matches("/app/page", "/app/"));
    CHECK_FALSE(path_matches("/application", "/app"));
    CHECK_FALSE(path_matches("/app", "/app/"));
    CHECK_FALSE(path_matches("/favicon.ico", "/app"));
    CHECK_FALSE(path_matches("/", "/app"));
    CHECK_FALSE(path_matches("/APP", "/app"));
}

TEST_CASE("a Set-Cookie header is read for the cookie of one name", "[set_cookie]") {
    const auto value = [](std::string_view header) {
        const auto given = read_set_cookie(header, "SID");
        return given ? std::string(given->value) : "none";
    };
    CHECK(value("SID=1") == "1");
    CHECK(value("SID=1; Path=/") == "1");
    CHECK(value("SID = \"1\" ;Path=/") == "1");
    CHECK(value("SID=") == "");
    CHECK(value("SID=; Path=/") == "");
    CHECK(value("XSID=1") == "none");
    CHECK(value("SIDX=1") == "none");
    CHECK(value("x=1; SID=1") == "none");
    CHECK(value("x=1, SID=1") == "none");
    CHECK(value("SID; x=1") == "none");
    CHECK(value("") == "none");
}

TEST_CASE("a Set-Cookie header says how long the cookie lives", "[set_cookie]") {
    const auto is_over = [](std::string_view attributes) {
        return read_set_cookie("SID=1" + std::string(attributes), "SID")->is_over;
    };
    CHECK(is_over("") == std::nullopt);
    CHECK(is_over("; Max-Age=0") == true);
    CHECK(is_over("; max-age = 0 ; Path=/") == true);
    CHECK(is_over("; Path=/; MAX-AGE=-1") == true);
    CHECK(is_over(";Max-Age=00") == true);
    CHECK(is_over("; Max-Age=1") == false);
    CHECK(is_over("; Max-Age=99999999999999999999999999") == false);
    CHECK(is_over("; Max-Age=0; Max-Age=60") == false);  // the last one counts
    CHECK(is_over("; Max-Age=") == std::nullopt);
    CHECK(is_over("; Max-Age=-") == std::nullopt);
    CHECK(is_over("; Max-Age=soon") == std::nullopt);
    CHECK(is_over("; X-Max-Age=0") == std::nullopt);

    const std::string header = "SID=1; Path=/; expires = Thu, 01-Jan-1970 00:00:01 GMT ; HttpOnly";
    CHECK(read_set_cookie(header, "SID")->expires == "Thu, 01-Jan-1970 00:00:01 GMT");
    CHECK(read_set_cookie("SID=1; Expires", "SID")->expires.empty());
}

TEST_CASE("a date of 1970 or before is told from later ones, and from what is no date", "[set_cookie]") {
    for (const char* date :
         {"Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01-Jan-1970 00:00:01 GMT", "Thursday, 01-Jan-70 00:00:00 GMT",
          "Thu Jan  1 00:00:00 1970", "Wed, 31 Dec 1969 23:59:59 GMT", "Mon, 01-Jan-1601 00:00:00 GMT"})
        CHECK(is_of_1970_or_before(date));
    for (const char* date :
         {"Fri, 01 Jan 1971 00:00:00 GMT", "Sun, 09-Jun-2099 19:16:01 GMT", "Mon, 01-Jan-0001 00:00:00 GMT",
          "Sat, 01 Jan 2000 19:69:70 +1400", "Tuesday, 01-Jan-69 00:00:00 GMT", "Sunday, 01-Jan-71 00:00:00 GMT",
          "19700", "70", "soon", ""})
        CHECK_FALSE(is_of_1970_or_before(date));
}

}  // namespace lbsticky
