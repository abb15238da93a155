#include "core/drain.hpp"

#include <atomic>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/affinity.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr Milliseconds noon = 1'800'000'000'000;
constexpr Milliseconds minute = 60'000;

Worker drain_over(Worker worker) {
    worker.draining = worker.is_drain_over = true;
    return worker;
}

struct Balancer {
    explicit Balancer(const std::vector<Worker>& workers) : roster(with_ids(workers)) {
        rules.names = names;
        rules.cookie_name = "own";
    }

    Choice choose(std::string_view cookies) {
        const Claims claims = read_claims({cookies, "/", {}, "192.0.2.1"}, rules);
        Tickets tickets(next);
        return lbsticky::choose(claims, rules, roster, tickets);
    }
    std::string ask(std::string_view cookies) {
        const Choice choice = choose(cookies);
        return (choice.worker ? roster.workers()[*choice.worker].route : "nobody") + " " + word_for(choice.affinity);
    }

    static std::vector<Worker> with_ids(std::vector<Worker> workers) {
        for (Worker& worker : workers) worker.ids = {worker.route};
        return workers;
    }

    static constexpr SessionName names[] = {{"sid", "sid"}};
    Rules rules;
    Roster roster;
    std::atomic<std::uint64_t> next{0};
};

const Worker a = serving("a"), b = serving("b");

}  // namespace

TEST_CASE("the deadline of a drain is counted from its beginning", "[drain]") {
    const Drain drain{30 * minute};
    CHECK(drain.over_at(noon) == noon + 30 * minute);
    CHECK_FALSE(drain.is_over(noon, noon));
    CHECK_FALSE(drain.is_over(noon, noon + 30 * minute - 1));
    CHECK(drain.is_over(noon, noon + 30 * minute));
    CHECK_FALSE(drain.is_over(0, noon));  // it is not draining
    SECTION("0 is never") {
        CHECK(Drain{}.over_at(noon) == 0);
        CHECK_FALSE(Drain{}.is_over(noon, noon + 1'000'000 * minute));
    }
}

TEST_CASE("quiet begins with the drain, and with each request of a session anew", "[drain]") {
    const Drain drain{0, 10 * minute};
    CHECK(drain.quiet_left(noon, 0, noon) == 10 * minute);
    CHECK(drain.quiet_left(noon, 0, noon + 9 * minute) == minute);
    CHECK(drain.quiet_left(noon, 0, noon + 10 * minute) == 0);
    CHECK(drain.quiet_left(noon, noon + 3 * minute, noon + 10 * minute) == 3 * minute);
    CHECK(drain.quiet_left(noon, noon + 3 * minute, noon + 13 * minute) == 0);
    CHECK(drain.quiet_left(noon, noon - 60 * minute, noon + minute) == 9 * minute);
    CHECK(drain.quiet_left(noon, noon + 5, noon) == 10 * minute + 5);
}

TEST_CASE("what is missing until a worker is drained is said in a line", "[drain]") {
    Status draining;
    CHECK(what_drain_lacks(draining, 0, 0) == "it is not draining");
    draining.draining = true;
    CHECK(what_drain_lacks(draining, 0, 0).empty());
    CHECK(what_drain_lacks(draining, 1, 0) == "it is serving 1 request");
    CHECK(what_drain_lacks(draining, 12, 5000) == "it is serving 12 requests");
    CHECK(what_drain_lacks(draining, 0, 5000) == "a session of its may ask within 5 s");
    CHECK(what_drain_lacks(draining, 0, 1) == "a session of its may ask within 1 s");
}

TEST_CASE("when the deadline is over its sessions are moved as if it could not serve", "[drain]") {
    Balancer balancer({drain_over(a), b});
    CHECK(balancer.ask("sid=1.a") == "b failover");
    CHECK(balancer.choose("sid=1.a").moved_from() == 0);
    CHECK(balancer.ask("sid=1; own=.a") == "b failover");
    CHECK(balancer.ask("sid=1.b") == "b route");
    CHECK(balancer.ask("") == "b new");
    SECTION("also where it is the only one") {
        Balancer alone({drain_over(a)});
        CHECK(alone.ask("sid=1.a") == "nobody failover");
    }
    SECTION("and refused, with nofailover") {
        balancer.rules.nofailover = true;
        CHECK(balancer.ask("sid=1.a") == "nobody refused");
    }
    SECTION("by its redirect, if it has one") {
        Balancer redirected({redirecting("c", drain_over(a)), b, serving("c")});
        CHECK(redirected.ask("sid=1.a") == "c failover");
    }
}

TEST_CASE("who has lost its session id, and whose cookie names a draining worker, is placed anew", "[drain]") {
    Balancer balancer({draining(a), b, serving("c")});
    CHECK(balancer.ask("own=.a") == "b new");
    CHECK(balancer.ask("own=.a") == "c new");
    CHECK(balancer.next == 2);
    CHECK_FALSE(balancer.choose("own=.a").moved_from());
    CHECK(balancer.choose("own=.a").cookie.worker == 0);  // it is understood
    SECTION("but not with a session id, with or without a route") {
        CHECK(balancer.ask("own=.a; sid=1") == "a cookie");
        CHECK(balancer.ask("own=.a; sid=1.a") == "a route");
    }
    SECTION("nor by a cookie that names another") {
        CHECK(balancer.ask("own=.b") == "b cookie");
    }
    SECTION("nor on a balancer without session names, where the cookie is all there is") {
        balancer.rules.names = {};
        CHECK(balancer.ask("own=.a") == "a cookie");
    }
    SECTION("nor refused, with nofailover") {
        balancer.rules.nofailover = true;
        CHECK(balancer.ask("own=.a") == "b new");
    }
}

}  // namespace lbsticky
