#include "core/route_id.hpp"

#include "catch.hpp"

namespace lbsticky {

// Computed by an independent program; they may never change.
TEST_CASE("a worker without a route is named by 16 hex digits of its URL's hash", "[route_id]") {
    CHECK(route_id("http://127.0.0.1:8082", "") == "a81b3a800179c6f8");
    CHECK(route_id("https://app.example/", "") == "761b82f15d026dec");
    CHECK(route_id("", "") == "0000000000000000");
}

TEST_CASE("leading zeros are part of a name made from a URL", "[route_id]") {
    CHECK(route_id("http://127.0.0.1:8043", "") == "0743114cd6381ba0");
    CHECK(route_id("http://127.0.0.1:1651", "") == "000bf5024e61d3d2");
}

TEST_CASE("a worker's route names it, whatever its URL", "[route_id]") {
    CHECK(route_id("http://127.0.0.1:8082", "node1") == "node1");
    CHECK(cookie_id("http://127.0.0.1:8082", "node1") == "node1");
    CHECK(route_id("", "a.b c;d") == "a.b c;d");
}

TEST_CASE("a route that is not allowed in a cookie names nobody there", "[route_id]") {
    CHECK(cookie_id("http://127.0.0.1:8082", "a.b c;d") == "a81b3a800179c6f8");
    CHECK(cookie_id("http://127.0.0.1:8082", "") == "a81b3a800179c6f8");
}

}  // namespace lbsticky
