#include "core/route_id.hpp"

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

std::string id_of_url(const std::string& url) {
    Worker worker;
    worker.url = url;
    return route_id(worker);
}

}  // namespace

TEST_CASE("a worker's route names it", "[route_id]") {
    CHECK(route_id(serving("node1")) == "node1");
    CHECK(route_id(serving("a.b c;d")) == "a.b c;d");
}

// Computed by an independent program; they may never change.
TEST_CASE("a worker without a route is named by 16 hex digits of its URL's hash", "[route_id]") {
    CHECK(id_of_url("http://127.0.0.1:8082") == "a81b3a800179c6f8");
    CHECK(id_of_url("https://app.example/") == "761b82f15d026dec");
    CHECK(id_of_url("") == "0000000000000000");
}

TEST_CASE("leading zeros are part of a name made from a URL", "[route_id]") {
    CHECK(id_of_url("http://127.0.0.1:8043") == "0743114cd6381ba0");
    CHECK(id_of_url("http://127.0.0.1:1651") == "000bf5024e61d3d2");
}

TEST_CASE("nothing but the route, or else the URL, has a part in a worker's name", "[route_id]") {
    const auto changed = [](std::string route) {
        Worker worker = draining(down(standby(spare(in_set(3, redirecting("x", serving(route, 777)))))));
        worker.url = "http://127.0.0.1:8082";
        return route_id(worker);
    };
    CHECK(changed("node1") == "node1");
    CHECK(changed("") == "a81b3a800179c6f8");
}

}  // namespace lbsticky
