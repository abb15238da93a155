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
    CHECK(id_of_url("http://127.0.0.1:8082") == "22de1bdcc2811ec4");
    CHECK(id_of_url("https://app.example/") == "4df300504dbc086e");
    CHECK(id_of_url("") == "efd01f60ba992926");
}

TEST_CASE("leading zeros are part of a name made from a URL", "[route_id]") {
    CHECK(id_of_url("http://127.0.0.1:8081") == "0ceecc9cff13c3bc");
    CHECK(id_of_url("http://127.0.0.1:8897") == "0008ec724646cad2");
}

TEST_CASE("nothing but the route, or else the URL, has a part in a worker's name", "[route_id]") {
    const auto changed = [](std::string route) {
        Worker worker = draining(down(standby(spare(in_set(3, redirecting("x", serving(route, 777)))))));
        worker.url = "http://127.0.0.1:8082";
        return route_id(worker);
    };
    CHECK(changed("node1") == "node1");
    CHECK(changed("") == "22de1bdcc2811ec4");
}

}  // namespace lbsticky
