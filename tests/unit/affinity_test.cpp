#include "core/affinity.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/activity.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr SessionName tomcat[] = {{"JSESSIONID", "jsessionid"}};

// A balancer as one process sees it. ask() answers "ROUTE AFFINITY", or "nobody AFFINITY" if there is no worker.
class Balancer {
public:
    explicit Balancer(std::vector<Worker> workers) : workers_(std::move(workers)), roster_(workers_) {
        rules.names = tomcat;
    }

    Choice choose(std::string_view cookies, std::string_view url = "/") {
        const Claims claims =
            read_claims({cookies, url, proxied_url, client_address.c_str(), 1000 * Milliseconds{time}}, rules);
        Tickets tickets(next_);
        return lbsticky::choose(claims, rules, roster_, tickets);
    }

    std::string ask(std::string_view cookies, std::string_view url = "/") {
        const Choice choice = choose(cookies, url);
        const std::string route = choice.worker ? workers_[*choice.worker].route : "nobody";
        return route + " " + word_for(choice.affinity);
    }

    std::string ask_url(std::string_view url) { return ask("", url); }

    Session session(std::string_view cookies, std::string_view url = "/") { return choose(cookies, url).session; }

    // The answer if consistent hashing decides, by this key.
    std::string holder(std::string_view key, std::string_view affinity) const {
        return holder_of(key, workers_) + " " + std::string(affinity);
    }

    const std::string& route(std::size_t worker) const { return workers_[worker].route; }

    std::uint64_t tickets_drawn() const { return next_; }

    Rules rules;
    std::string client_address;
    std::string_view proxied_url;
    std::uint32_t time = 6000;

private:
    std::vector<Worker> workers_;
    Roster roster_;
    std::atomic<std::uint64_t> next_{0};
};

const std::vector<Worker> abc = {serving("a"), serving("b"), serving("c")};
const std::vector<Worker> b_is_down = {serving("a"), down(serving("b")), serving("c")};

std::vector<std::size_t> looked_at(const Choice& choice) {
    return {choice.looked_at().begin(), choice.looked_at().end()};
}

}  // namespace

// The decision table, line by line.

TEST_CASE("a session whose route names a worker that can serve goes there", "[affinity]") {
    Balancer balancer(abc);
    CHECK(balancer.ask("JSESSIONID=12345.a") == "a route");
    CHECK(balancer.ask("JSESSIONID=12345.b") == "b route");
    CHECK(balancer.ask("x=1; JSESSIONID=12345.c; y=2") == "c route");
    CHECK(balancer.ask_url("/app;jsessionid=12345.b/page") == "b route");
    CHECK(balancer.ask_url("/app?jsessionid=12345.c") == "c route");
    CHECK(balancer.tickets_drawn() == 0);
}

TEST_CASE("a spare, a standby and a worker of a higher set serve the sessions that they have", "[affinity]") {
    Balancer balancer({serving("a"), spare(serving("b")), standby(serving("c")), in_set(1, serving("d"))});
    CHECK(balancer.ask("JSESSIONID=1.b") == "b route");
    CHECK(balancer.ask("JSESSIONID=1.c") == "c route");
    CHECK(balancer.ask("JSESSIONID=1.d") == "d route");
    CHECK(balancer.ask("") == "a new");
    CHECK(balancer.ask("JSESSIONID=1") == "a hash");
}

TEST_CASE("a draining worker keeps its own sessions but gets no new ones", "[affinity]") {
    Balancer balancer({serving("a"), draining(serving("b")), redirecting("b", down(serving("c")))});
    CHECK(balancer.ask("JSESSIONID=1.b") == "b route");
    for (int i = 0; i < 10; ++i) {
        CHECK(balancer.ask("") == "a new");
        CHECK(balancer.ask("JSESSIONID=" + session_id(static_cast<std::uint64_t>(i))) == "a hash");
    }
    CHECK(balancer.ask("JSESSIONID=1.c") == "a failover");
}

TEST_CASE("a session of a worker that cannot serve goes where its redirect points", "[affinity]") {
    Balancer balancer({serving("a"), serving("b"), serving("c"), redirecting("c", down(serving("d")))});
    for (int i = 0; i < 10; ++i)
        CHECK(balancer.ask("JSESSIONID=" + session_id(static_cast<std::uint64_t>(i)) + ".d") == "c failover");
    CHECK(balancer.tickets_drawn() == 0);
}

TEST_CASE("a redirect has no part in sessions of a worker that can serve", "[affinity]") {
    Balancer balancer({redirecting("b", serving("a")), serving("b"), redirecting("b", draining(serving("c")))});
    CHECK(balancer.ask("JSESSIONID=1.a") == "a route");
    CHECK(balancer.ask("JSESSIONID=1.c") == "c route");
}

TEST_CASE("a redirect may lead to a spare, a standby or another set", "[affinity]") {
    const auto target = GENERATE(spare(serving("b")), standby(serving("b")), in_set(5, serving("b")));
    Balancer balancer({serving("a"), target, redirecting("b", down(serving("c")))});
    CHECK(balancer.ask("JSESSIONID=1.c") == "b failover");
}

TEST_CASE("redirects are followed until somebody can serve", "[affinity]") {
    SECTION("one after the other") {
        Balancer balancer({redirecting("b", down(serving("a"))), redirecting("c", down(serving("b"))),
                           redirecting("d", down(serving("c"))), serving("d"), serving("e")});
        CHECK(balancer.ask("JSESSIONID=1.a") == "d failover");
        CHECK(balancer.ask("JSESSIONID=1.b") == "d failover");
        CHECK(balancer.ask("JSESSIONID=1.c") == "d failover");
    }
    SECTION("past one that is draining") {
        Balancer balancer({redirecting("b", down(serving("a"))), redirecting("c", draining(serving("b"))), serving("c"),
                           serving("d")});
        CHECK(balancer.ask("JSESSIONID=1.a") == "c failover");
    }
    SECTION("as many as there are workers") {
        std::vector<Worker> chain;
        for (int i = 0; i < 1000; ++i)
            chain.push_back(redirecting(std::to_string(i + 1), down(serving(std::to_string(i)))));
        chain.push_back(serving("1000"));
        chain.push_back(serving("another"));
        CHECK(Balancer(chain).ask("JSESSIONID=1.0") == "1000 failover");
    }
}

TEST_CASE("redirects that lead nowhere or in a circle are ignored", "[affinity]") {
    const auto check = [](const std::vector<Worker>& workers) {
        Balancer balancer(workers);
        CHECK(balancer.ask("JSESSIONID=12345.a") == balancer.holder("12345", "failover"));
        balancer.rules.nofailover = true;
        CHECK(balancer.ask("JSESSIONID=12345.a") == "nobody refused");
    };
    SECTION("to a route that no worker has") {
        check({redirecting("x", down(serving("a"))), serving("c")});
    }
    SECTION("to itself") {
        check({redirecting("a", down(serving("a"))), serving("c"), serving("d")});
    }
    SECTION("to and fro") {
        check({redirecting("b", down(serving("a"))), redirecting("a", down(serving("b"))), serving("c"), serving("d")});
    }
    SECTION("into a circle") {
        check({redirecting("b", down(serving("a"))), redirecting("c", down(serving("b"))),
               redirecting("b", down(serving("c"))), serving("d"), serving("e")});
    }
    SECTION("to one that cannot serve") {
        check({redirecting("b", down(serving("a"))), down(serving("b")), serving("c")});
    }
    SECTION("to one that is draining") {
        check({redirecting("b", down(serving("a"))), draining(serving("b")), serving("c")});
    }
}

TEST_CASE("with nofailover a session is refused rather than sent to another worker", "[affinity]") {
    Balancer balancer({serving("a"), down(serving("b")), redirecting("a", down(serving("c")))});
    balancer.rules.nofailover = true;
    CHECK(balancer.ask("JSESSIONID=1.b") == "nobody refused");
    CHECK(balancer.ask("JSESSIONID=1.a") == "a route");
    SECTION("unless a redirect says where to") {
        CHECK(balancer.ask("JSESSIONID=1.c") == "a failover");
    }
    SECTION("and only if its route names a worker") {
        CHECK(balancer.ask("JSESSIONID=1.x") == "a hash");
        CHECK(balancer.ask("JSESSIONID=1") == "a hash");
        CHECK(balancer.ask("") == "a new");
    }
}

TEST_CASE("a session of a worker that cannot serve goes to another, and stays there", "[affinity]") {
    Balancer balancer(b_is_down);
    for (std::uint64_t n = 0; n < 20; ++n) {
        const std::string id = session_id(n);
        const std::string cookie = "JSESSIONID=" + id + ".b";
        CAPTURE(id);
        const std::string first = balancer.ask(cookie);
        CHECK(first == balancer.holder(id, "failover"));
        CHECK(balancer.ask(cookie) == first);
        CHECK(balancer.ask_url("/;jsessionid=" + id + ".b") == first);
        CHECK(Balancer(b_is_down).ask(cookie) == first);
        CHECK(Balancer(abc).ask(cookie) == "b route");  // when it is back
    }
    CHECK(balancer.tickets_drawn() == 0);
}

TEST_CASE("sessions of a worker that cannot serve are spread over all others", "[affinity]") {
    Balancer balancer(b_is_down);
    std::size_t to_a = 0;
    for (std::uint64_t n = 0; n < 1000; ++n) to_a += balancer.ask("JSESSIONID=" + session_id(n) + ".b") == "a failover";
    CHECK(to_a > 400);
    CHECK(to_a < 600);
}

TEST_CASE("a session id without a known route goes to the worker that consistent hashing says", "[affinity]") {
    Balancer balancer(abc);
    for (const std::string value : {"12345", "12345678.x", "12345.", "12345678.aa", "12345678.A", "a", "12345a"}) {
        CAPTURE(value);
        CHECK(balancer.ask("JSESSIONID=" + value) == balancer.holder(value, "hash"));
        CHECK(balancer.ask("JSESSIONID=" + value) == balancer.holder(value, "hash"));
        CHECK(balancer.ask_url("/;jsessionid=" + value) == balancer.holder(value, "hash"));
    }
    CHECK(balancer.tickets_drawn() == 0);
}

TEST_CASE("clients that have the route of a worker that is gone, and no id, are spread over all others", "[affinity]") {
    Balancer balancer(abc);
    CHECK(balancer.ask("JSESSIONID=.gone") == "a new");
    CHECK(balancer.ask("JSESSIONID=.gone") == "b new");
    CHECK(balancer.ask("JSESSIONID=.") == "c new");
    CHECK(balancer.session("JSESSIONID=.gone").route == "gone");
}

namespace {

// The same workers, named by their routes in the balancer's own cookie.
std::vector<Worker> named_by_cookie(std::vector<Worker> workers) {
    for (Worker& worker : workers) worker.ids = {worker.route};
    return workers;
}

class WithOwnCookie : public Balancer {
public:
    explicit WithOwnCookie(const std::vector<Worker>& workers) : Balancer(named_by_cookie(workers)) {
        rules.cookie_name = "own";
        client_address = "192.0.2.1";
    }
};

}  // namespace

TEST_CASE("the balancer's own cookie names a worker, after the route of a session and before its id", "[affinity]") {
    WithOwnCookie balancer(abc);
    CHECK(balancer.ask("own=.b") == "b cookie");
    CHECK(balancer.ask("own=b") == "b cookie");
    CHECK(balancer.ask("JSESSIONID=12345; own=.b") == "b cookie");
    CHECK(balancer.ask("JSESSIONID=12345.c; own=.b") == "c route");
    CHECK(balancer.ask("own=.b; own=.c") == "b cookie");
    CHECK(balancer.ask("own=.gone; own=.c") == "c cookie");
    CHECK(balancer.ask("own=.gone") == "a new");
    CHECK(balancer.ask("JSESSIONID=12345; own=.gone") == balancer.holder("12345", "hash"));
    CHECK(balancer.ask("not-own=.b") == "b new");
    CHECK(balancer.tickets_drawn() == 2);
}

TEST_CASE("a token is an id as it stands: with a secret a dot before it makes it another", "[affinity]") {
    WithOwnCookie balancer(abc);
    balancer.rules.has_secret = true;
    CHECK(balancer.ask("own=b") == "b cookie");
    CHECK(balancer.ask("own=.b") == "a new");
}

TEST_CASE("what the balancer appends is a worker's id, and its route is none", "[affinity]") {
    std::vector<Worker> workers = abc;
    workers[0].ids = {"first", "older"};
    workers[1].ids = {"b"};
    const Roster roster(workers);
    const auto named = [&](std::string_view id, Keeping keeping) { return last_route(id, '.', keeping, roster); };
    REQUIRE(named("x.first", Keeping::append));
    CHECK(named("x.first", Keeping::append)->worker == 0);
    CHECK(named("x.first", Keeping::append)->text == "first");
    CHECK(named("x.older", Keeping::append)->worker == 0);
    CHECK_FALSE(named("x.a", Keeping::append));
    CHECK(named("x.a", Keeping::given)->worker == 0);
    CHECK_FALSE(named("x.first", Keeping::given));
    CHECK(without_last_route("x.y.b", '.', Keeping::append, roster) == "x.y");
    CHECK(without_last_route("x.b.b", '.', Keeping::append, roster) == "x.b");
    CHECK(without_last_route("x.b.", '.', Keeping::append, roster) == "x.b.");
    CHECK(without_last_route(".b", '.', Keeping::append, roster).empty());
    CHECK(without_last_route("b", '\0', Keeping::append, roster).empty());
}

TEST_CASE("a client whose worker cannot serve moves, with its session or by its address", "[affinity]") {
    WithOwnCookie balancer(b_is_down);
    CHECK(balancer.ask("own=.b") == balancer.holder("192.0.2.1", "failover"));
    CHECK(balancer.ask("JSESSIONID=12345; own=.b") == balancer.holder("12345", "failover"));
    CHECK(balancer.ask("JSESSIONID=.gone; own=.b") == balancer.holder("192.0.2.1", "failover"));
    CHECK(balancer.ask("own=.b; own=.c") == "c cookie");
    CHECK(balancer.ask("JSESSIONID=12345.b; own=.c") == "c cookie");
    balancer.rules.nofailover = true;
    CHECK(balancer.ask("own=.b") == "nobody refused");
    CHECK(balancer.ask("JSESSIONID=12345.b; own=.c") == "c cookie");
}

TEST_CASE("without LBStickyHash a session id without a known route is placed like a new session", "[affinity]") {
    Balancer balancer(b_is_down);
    balancer.rules.hash = false;
    CHECK(balancer.ask("JSESSIONID=12345") == "a new");
    CHECK(balancer.ask("JSESSIONID=12345") == "c new");
    CHECK(balancer.ask("JSESSIONID=12345.x") == "a new");
    CHECK(balancer.ask("") == "c new");
    CHECK(balancer.tickets_drawn() == 4);
    SECTION("but one with a route as ever") {
        CHECK(balancer.ask("JSESSIONID=12345.a") == "a route");
        CHECK(balancer.ask("JSESSIONID=12345.b") == balancer.holder("12345", "failover"));
        CHECK(balancer.tickets_drawn() == 4);
    }
}

TEST_CASE("requests without a session take turns", "[affinity]") {
    Balancer balancer(abc);
    CHECK(balancer.ask("") == "a new");
    CHECK(balancer.ask("other=1; theme=dark") == "b new");
    CHECK(balancer.ask("JSESSIONID=1.a") == "a route");
    CHECK(balancer.ask_url("/?x=1") == "c new");
    CHECK(balancer.ask("") == "a new");
    CHECK(balancer.tickets_drawn() == 4);
}

TEST_CASE("if no worker can serve, nobody is chosen", "[affinity]") {
    Balancer balancer({down(serving("a")), down(serving("b"))});
    CHECK(balancer.ask("") == "nobody new");
    CHECK(balancer.ask("JSESSIONID=1") == "nobody hash");
    CHECK(balancer.ask("JSESSIONID=1.a") == "nobody failover");
    balancer.rules.nofailover = true;
    CHECK(balancer.ask("JSESSIONID=1.a") == "nobody refused");
    CHECK(Balancer({}).ask("") == "nobody new");
    CHECK(Balancer({}).ask("JSESSIONID=1.a") == "nobody hash");
    SECTION("and a draining one serves its own sessions alone") {
        Balancer last({draining(serving("a"))});
        CHECK(last.ask("") == "nobody new");
        CHECK(last.ask("JSESSIONID=1") == "nobody hash");
        CHECK(last.ask("JSESSIONID=1.a") == "a route");
    }
}

TEST_CASE("the first line of the decision table that applies decides, in every combination", "[affinity]") {
    struct Case {
        bool usable, draining, redirected, target_usable, target_draining, other_usable, nofailover, hash;
    };
    std::size_t cases = 0;
    for (unsigned bits = 0; bits < 256; ++bits) {
        const auto bit = [bits](unsigned n) { return (bits >> n & 1) != 0; };
        const Case c{bit(0), bit(1), bit(2), bit(3), bit(4), bit(5), bit(6), bit(7)};
        Worker named = serving("named");
        named.usable = c.usable;
        named.draining = c.draining;
        if (c.redirected) named.redirect = "target";
        Worker target = serving("target");
        target.usable = c.target_usable;
        target.draining = c.target_draining;
        Worker other = serving("other");
        other.usable = c.other_usable;
        CAPTURE(c.usable, c.draining, c.redirected, c.target_usable, c.target_draining, c.other_usable, c.nofailover,
                c.hash);

        const auto ask = [&](std::string_view cookies) {
            Balancer balancer({named, target, other});
            balancer.rules.nofailover = c.nofailover;
            balancer.rules.hash = c.hash;
            return balancer.ask(cookies);
        };
        const auto hashed = [&](std::string_view key) { return holder_of(key, {named, target, other}); };
        const std::string next = c.usable && !c.draining                 ? "named new"
                                 : c.target_usable && !c.target_draining ? "target new"
                                 : c.other_usable                        ? "other new"
                                                                         : "nobody new";
        std::string expected;
        if (c.usable) {
            expected = "named route";
        } else if (c.redirected && c.target_usable && !c.target_draining) {
            expected = "target failover";
        } else if (c.nofailover) {
            expected = "nobody refused";
        } else {
            expected = hashed("12345678.named") + " failover";
        }
        CHECK(ask("JSESSIONID=12345678.named") == expected);
        CHECK(ask("JSESSIONID=12345678.unknown") == (c.hash ? hashed("12345678.unknown") + " hash" : next));
        CHECK(ask("JSESSIONID=12345") == (c.hash ? hashed("12345") + " hash" : next));
        CHECK(ask("") == next);
        ++cases;
    }
    CHECK(cases == 256);
}

// Finding the session of a request.

TEST_CASE("of several names the first one present counts, even if its worker cannot serve", "[affinity]") {
    constexpr SessionName names[] = {{"FIRST", "first"}, {"SECOND", "second"}};
    Balancer balancer(b_is_down);
    balancer.rules.names = names;
    CHECK(balancer.ask("SECOND=1.c; FIRST=2.a") == "a route");
    CHECK(balancer.ask("SECOND=1.c") == "c route");
    CHECK(balancer.ask("SECOND=1.c; FIRST=2.x") == balancer.holder("2.x", "hash"));
    CHECK(balancer.ask("SECOND=1.c; FIRST=2.b") == balancer.holder("2", "failover"));
    CHECK(balancer.ask("SECOND=1.c; FIRST=") == "c route");
    CHECK(balancer.ask("SECOND=1.c; FIRST") == "c route");
    CHECK(balancer.ask("FIRST=2.a", "/;second=1.c") == "a route");
    CHECK(balancer.ask("FIRST=2.a", "/;first=1.c") == "c route");
    CHECK(balancer.session("SECOND=1.c; FIRST=2.a").name == "FIRST");
    CHECK(balancer.session("FIRST=2.a", "/;first=1.c").name == "first");
    CHECK(balancer.tickets_drawn() == 0);
}

TEST_CASE("cookie and parameter may have different names, and neither is taken for the other", "[affinity]") {
    Balancer balancer(abc);
    CHECK(balancer.ask("jsessionid=1.c") == "a new");
    CHECK(balancer.ask_url("/;JSESSIONID=1.c") == "b new");
    CHECK(balancer.ask("JSESSIONID=1.a", "/;jsessionid=2.c") == "c route");
    CHECK(balancer.ask("JSESSIONID=1.a", "/;jsessionid=2") == balancer.holder("2", "hash"));
    CHECK(balancer.ask("JSESSIONID=1.a", "/;jsessionid=") == "a route");
}

TEST_CASE("without names no request has a session", "[affinity]") {
    Balancer balancer(abc);
    balancer.rules.names = {};
    CHECK(balancer.ask("JSESSIONID=1.c", "/;jsessionid=1.c") == "a new");
    CHECK_FALSE(balancer.session("JSESSIONID=1.c").exists());
}

TEST_CASE("names that are empty are found nowhere", "[affinity]") {
    constexpr SessionName nameless[] = {{"", ""}};
    Balancer balancer(abc);
    balancer.rules.names = nameless;
    CHECK(balancer.ask("=1.c; =2.c", "/;=3.c") == "a new");
    CHECK(balancer.ask("", "/?=3.c") == "b new");
    CHECK(balancer.ask("", "/?&=3") == "c new");
}

TEST_CASE("of several cookies of one name, one whose route can serve is preferred", "[affinity]") {
    Balancer balancer(
        {serving("a"), down(serving("b")), serving("c"), redirecting("c", down(serving("d"))), draining(serving("e"))});
    CHECK(balancer.ask("JSESSIONID=1.b; JSESSIONID=2.c") == "c route");
    CHECK(balancer.ask("JSESSIONID=1; JSESSIONID=2.b; JSESSIONID=3.x; JSESSIONID=4.c") == "c route");
    CHECK(balancer.ask("JSESSIONID=1.a; JSESSIONID=2.c") == "a route");
    CHECK(balancer.ask("JSESSIONID=1.c, JSESSIONID=2.a") == "c route");
    CHECK(balancer.ask("JSESSIONID=1.d; JSESSIONID=2.e") == "e route");
    SECTION("then the first whose route is known") {
        CHECK(balancer.ask("JSESSIONID=1; JSESSIONID=2.d; JSESSIONID=3.b") == "c failover");
        CHECK(balancer.ask("JSESSIONID=1; JSESSIONID=2.b; JSESSIONID=3.d") == balancer.holder("2", "failover"));
        CHECK(balancer.ask("JSESSIONID=1.x; JSESSIONID=2.b") == balancer.holder("2", "failover"));
    }
    SECTION("then the first") {
        CHECK(balancer.ask("JSESSIONID=1; JSESSIONID=2") == balancer.holder("1", "hash"));
        CHECK(balancer.ask("JSESSIONID=1.x; JSESSIONID=2") == balancer.holder("1.x", "hash"));
        CHECK(balancer.ask("JSESSIONID=; JSESSIONID; JSESSIONID=3") == balancer.holder("3", "hash"));
    }
}

TEST_CASE("a name that only contains ours is another name of a cookie", "[affinity]") {
    Balancer balancer(abc);
    for (const std::string_view header :
         {"XJSESSIONID=1.c", "JSESSIONIDX=1.c", "jsessionid=1.c", "JSESSION=1.c", "x=JSESSIONID=1.c", "JSESSIONID",
          "JSESSIONID=", "=JSESSIONID", "\"JSESSIONID\"=1.c", "JSESSIONID x=1.c", "JSESSIONID.c",
          "x=1 JSESSIONID=1.c"}) {
        CAPTURE(header);
        CHECK_FALSE(balancer.session(header).exists());
    }
    CHECK(balancer.ask("XJSESSIONID=1.a; JSESSIONIDX=2.b; JSESSIONID=3.c") == "c route");
}

// Id and route of a session.

TEST_CASE("the longest route that a worker has counts", "[affinity]") {
    Balancer balancer({serving("c"), serving("b.c"), serving("a.b.c"), down(serving("x.y")), serving("y")});
    CHECK(balancer.ask("JSESSIONID=1.c") == "c route");
    CHECK(balancer.ask("JSESSIONID=1.b.c") == "b.c route");
    CHECK(balancer.ask("JSESSIONID=1.a.b.c") == "a.b.c route");
    CHECK(balancer.ask("JSESSIONID=1.2.a.b.c") == "a.b.c route");
    CHECK(balancer.ask("JSESSIONID=1.z.c") == "c route");
    CHECK(balancer.ask("JSESSIONID=1..c") == "c route");
    CHECK(balancer.session("JSESSIONID=1.2.b.c").id == "1.2");
    CHECK(balancer.session("JSESSIONID=1.2.b.c").route == "b.c");
    CHECK(balancer.session("JSESSIONID=1.z.c").id == "1.z");
    CHECK(balancer.session("JSESSIONID=1..c").id == "1.");
    CHECK(balancer.ask("JSESSIONID=1.x.y") == balancer.holder("1", "failover"));
}

TEST_CASE("a session is split into id and route", "[affinity]") {
    struct {
        std::string_view value, id, route;
        std::optional<std::size_t> worker;
    } const rows[] = {
        {"12345.b", "12345", "b", 1},
        {"1.2.b", "1.2", "b", 1},
        {".b", "", "b", 1},
        {"12345", "12345", "", std::nullopt},
        {"12345.x", "12345.x", "x", std::nullopt},
        {"12345.x.y", "12345.x.y", "x.y", std::nullopt},
        {"12345.", "12345.", "", std::nullopt},
        {".x", "", "x", std::nullopt},
        {".", "", "", std::nullopt},
        {"b", "b", "", std::nullopt},
        {"12345.b.", "12345.b.", "b.", std::nullopt},
        {"12345.b x", "12345.b x", "b x", std::nullopt},
    };
    Balancer balancer(abc);
    for (const auto& row : rows) {
        CAPTURE(row.value);
        const std::string header = "JSESSIONID=" + std::string(row.value);
        const Session session = balancer.session(header);
        CHECK(session.exists());
        CHECK(session.name == "JSESSIONID");
        CHECK(session.value == row.value);
        CHECK(session.id == row.id);
        CHECK(session.route == row.route);
        CHECK(session.worker == row.worker);
        CHECK(session.value.data() == header.data() + 11);
    }
}

TEST_CASE("a request without a session has none", "[affinity]") {
    const Session session = Balancer(abc).session("x=1", "/y");
    CHECK_FALSE(session.exists());
    CHECK(session.value.empty());
    CHECK(session.id.empty());
    CHECK(session.route.empty());
    CHECK_FALSE(session.worker);
}

TEST_CASE("any character may separate id and route", "[affinity]") {
    Balancer balancer({serving("a"), serving("b"), serving("c.d")});
    balancer.rules.separator = '!';
    CHECK(balancer.ask("JSESSIONID=12345!b") == "b route");
    CHECK(balancer.ask("JSESSIONID=1.2!c.d") == "c.d route");
    CHECK(balancer.ask("JSESSIONID=12345.b") == balancer.holder("12345.b", "hash"));
    balancer.rules.separator = '~';
    CHECK(balancer.ask_url("/;jsessionid=12345~b") == "b route");
    CHECK(balancer.session("JSESSIONID=1~x~b").id == "1~x");
}

TEST_CASE("without a separator the whole value is the route", "[affinity]") {
    Balancer balancer(b_is_down);
    balancer.rules.separator = '\0';
    CHECK(balancer.ask("JSESSIONID=a") == "a route");
    CHECK(balancer.ask("JSESSIONID=1.a") == balancer.holder("1.a", "hash"));
    balancer.client_address = "192.0.2.1";
    CHECK(balancer.ask("JSESSIONID=b") == balancer.holder("192.0.2.1", "failover"));
    CHECK(balancer.session("JSESSIONID=a").id.empty());
    CHECK(balancer.session("JSESSIONID=a").route == "a");
    CHECK(balancer.session("JSESSIONID=x").id == "x");
    CHECK(balancer.session("JSESSIONID=x").route == "x");
    CHECK(balancer.session(std::string_view("JSESSIONID=1\0a", 14)).route == std::string_view("1\0a", 3));
}

TEST_CASE("a session id may stand in quotes", "[affinity]") {
    Balancer balancer(abc);
    CHECK(balancer.ask(R"(JSESSIONID="12345.b")") == "b route");
    CHECK(balancer.ask(R"($Version=1; JSESSIONID="12345.b"; $Path="/")") == "b route");
    CHECK(balancer.session(R"(JSESSIONID="12345.b")").id == "12345");
    CHECK(balancer.ask(R"(JSESSIONID="12345")") == balancer.holder("12345", "hash"));
    SECTION("half a pair of quotes is part of the id") {
        CHECK(balancer.ask(R"(JSESSIONID="12345.b)") == "b route");
        CHECK(balancer.session(R"(JSESSIONID="12345.b)").id == "\"12345");
        CHECK(balancer.ask(R"(JSESSIONID=12345678.b")") == balancer.holder("12345678.b\"", "hash"));
    }
}

TEST_CASE("routes may be as long as httpd can hold them", "[affinity]") {
    const std::string longest(63, 'r');
    const std::string too_long(64, 't');
    Balancer balancer({serving("a"), serving(longest), serving(too_long)});
    CHECK(balancer.ask("JSESSIONID=1." + longest) == longest + " route");
    CHECK(balancer.ask("JSESSIONID=" + std::string(8192, '1') + "." + longest) == longest + " route");
    CHECK(balancer.ask("JSESSIONID=1." + too_long) == balancer.holder("1." + too_long, "hash"));
}

TEST_CASE("hostile cookies are taken for a missing preference, and do no other harm", "[affinity]") {
    Balancer balancer(b_is_down);
    SECTION("a thousand cookies before ours") {
        std::string header;
        for (int i = 0; i < 1000; ++i) header += "JSESSIONID" + std::to_string(i) + "=1.a; ";
        CHECK(balancer.ask(header + "JSESSIONID=1.c") == "c route");
        CHECK(balancer.ask(header) == "a new");
    }
    SECTION("a thousand cookies of our name, of which sixteen are looked at") {
        std::string header;
        for (int i = 0; i < 15; ++i) header += "JSESSIONID=" + std::to_string(i) + ".b; ";
        CHECK(balancer.ask(header + "JSESSIONID=1.c") == "c route");
        for (int i = 15; i < 1000; ++i) header += "JSESSIONID=" + std::to_string(i) + ".b; ";
        CHECK(balancer.ask(header + "JSESSIONID=1.c") == balancer.holder("0", "failover"));
    }
    SECTION("values of 8 KB") {
        const std::string large(8192, 'x');
        const std::string dots(8192, '.');
        CHECK(balancer.ask("JSESSIONID=" + large) == balancer.holder(large, "hash"));
        CHECK(balancer.ask("JSESSIONID=" + large + ".c") == "c route");
        CHECK(balancer.ask("JSESSIONID=c." + large) == balancer.holder("c." + large, "hash"));
        CHECK(balancer.ask("JSESSIONID=" + dots) == "a new");
        CHECK(balancer.ask("JSESSIONID=" + dots + "c") == "c route");
        CHECK(balancer.session("JSESSIONID=" + dots + "c").id == std::string(8191, '.'));
    }
    SECTION("bytes above 0x7f") {
        CHECK(balancer.ask("JSESSIONID=\xff\xfe.c") == "c route");
        CHECK(balancer.ask("JSESSIONID=12345678.\xff") == balancer.holder("12345678.\xff", "hash"));
        CHECK(balancer.ask("\xffJSESSIONID=1.c") == "a new");
    }
    SECTION("nothing but delimiters") {
        for (const char c : {';', ',', '=', '"', ' ', '.', '\t', '\0'}) {
            CAPTURE(static_cast<int>(c));
            CHECK_FALSE(balancer.session(std::string(8192, c)).exists());
            CHECK_FALSE(balancer.session("", std::string(8192, c)).exists());
        }
    }
}

// Workers that share a route.

TEST_CASE("of workers that share a route, the first that can serve gets the session", "[affinity]") {
    Balancer balancer({down(serving("a")), serving("b"), standby(serving("a")), serving("a"), serving("a")});
    CHECK(balancer.choose("JSESSIONID=1.a").worker == 3);
    CHECK(Balancer({down(serving("a")), serving("b"), standby(serving("a")), down(serving("a"))})
              .choose("JSESSIONID=1.a")
              .worker == 2);
}

TEST_CASE("of workers that share a redirect's route, the first that takes sessions of others gets it", "[affinity]") {
    Balancer balancer({redirecting("b", down(serving("a"))), down(serving("b")), draining(serving("b")), serving("b"),
                       serving("c"), serving("d"), serving("e"), serving("f")});
    CHECK(balancer.choose("JSESSIONID=1.a").worker == 3);
    CHECK(balancer.ask("JSESSIONID=1.a") == "b failover");
}

// The workers that a choice depends on.

TEST_CASE("a choice names the workers whose state decided", "[affinity]") {
    Balancer balancer(
        {serving("a"), redirecting("c", down(serving("b"))), redirecting("a", down(serving("c"))), down(serving("d"))});
    using Indexes = std::vector<std::size_t>;
    CHECK(looked_at(balancer.choose("")) == Indexes{});
    CHECK(looked_at(balancer.choose("JSESSIONID=1")) == Indexes{});
    CHECK(looked_at(balancer.choose("JSESSIONID=1.a")) == Indexes{0});
    CHECK(looked_at(balancer.choose("JSESSIONID=1.b")) == Indexes{1, 2, 0});
    CHECK(looked_at(balancer.choose("JSESSIONID=1.d")) == Indexes{3});
    balancer.rules.nofailover = true;
    CHECK(looked_at(balancer.choose("JSESSIONID=1.d")) == Indexes{3});
}

TEST_CASE("of a long chain of redirects a choice names the first four", "[affinity]") {
    std::vector<Worker> chain;
    for (int i = 0; i < 10; ++i) chain.push_back(redirecting(std::to_string(i + 1), down(serving(std::to_string(i)))));
    chain.push_back(serving("10"));
    const Choice choice = Balancer(chain).choose("JSESSIONID=1.0");
    CHECK(choice.worker == 10);
    CHECK(looked_at(choice) == std::vector<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("each affinity has its word", "[affinity]") {
    CHECK(std::string(word_for(Affinity::cookie)) == "cookie");
    CHECK(std::string(word_for(Affinity::route)) == "route");
    CHECK(std::string(word_for(Affinity::hash)) == "hash");
    CHECK(std::string(word_for(Affinity::fresh)) == "new");
    CHECK(std::string(word_for(Affinity::failover)) == "failover");
    CHECK(std::string(word_for(Affinity::overload)) == "overload");
    CHECK(std::string(word_for(Affinity::refused)) == "refused");
}

TEST_CASE("sessions without an id of their own fail over by the client's address, even when their worker is gone",
          "[affinity]") {
    const std::string cookie = GENERATE("JSESSIONID=.b", "JSESSIONID=sticky.b");
    Balancer balancer(b_is_down);
    Balancer afterwards({serving("a"), serving("c")});
    std::vector<int> served(3, 0);
    for (int n = 0; n < 200; ++n) {
        const std::string address = "192.0.2." + std::to_string(n);
        balancer.client_address = address;
        const Choice choice = balancer.choose(cookie);
        REQUIRE(choice.worker);
        CHECK(choice.affinity == Affinity::failover);
        CHECK(balancer.choose(cookie).worker == choice.worker);
        if (cookie == "JSESSIONID=sticky.b") {
            afterwards.client_address = address;
            CHECK(afterwards.ask(cookie) == (choice.worker == 0 ? "a hash" : "c hash"));
        }
        ++served[*choice.worker];
    }
    CHECK(served[0] > 0);
    CHECK(served[1] == 0);
    CHECK(served[2] > 0);
}

TEST_CASE("a session with an id of its own fails over by the id, wherever the client is", "[affinity]") {
    Balancer balancer(b_is_down);
    for (std::uint64_t n = 0; n < 20; ++n) {
        balancer.client_address = "192.0.2.1";
        const auto worker = balancer.choose("JSESSIONID=" + session_id(n) + ".b").worker;
        balancer.client_address = "198.51.100.7";
        CHECK(balancer.choose("JSESSIONID=" + session_id(n) + ".b").worker == worker);
    }
}

TEST_CASE("sessions of a worker that is down stay with their next one when it is taken out", "[affinity]") {
    const std::string route = GENERATE("dead", "dc1.dead", "dead.n1");
    Balancer down_there({serving("a"), serving("b"), serving("c"), down(serving(route))});
    Balancer taken_out({serving("a"), serving("b"), serving("c")});
    for (std::uint64_t n = 0; n < 200; ++n)
        for (const std::size_t length : {32, 16, 12, 8}) {
            const std::string cookie = "JSESSIONID=" + session_id(n).substr(0, length) + "." + route;
            const std::string next = down_there.ask(cookie);
            CAPTURE(cookie);
            CHECK(taken_out.ask(cookie) == next.substr(0, next.find(' ')) + " hash");
        }
}

// Lists of routes.

TEST_CASE("of several known routes that end a session id the first that can serve gets it", "[affinity]") {
    const std::string id = session_id(1);
    const std::vector<Worker> workers = {serving("a"), serving("b"), serving("c"), serving("d")};
    const auto with = [&](std::size_t changed, const Worker& worker) {
        std::vector<Worker> some = workers;
        some[changed] = worker;
        return some;
    };
    CHECK(Balancer(workers).ask("JSESSIONID=" + id + ".b.c.a") == "b route");
    CHECK(Balancer(with(1, down(serving("b")))).ask("JSESSIONID=" + id + ".b.c.a") == "c failover");
    CHECK(Balancer(with(1, draining(serving("b")))).ask("JSESSIONID=" + id + ".b.c.a") == "b route");
    auto two_down = with(1, down(serving("b")));
    two_down[2] = GENERATE(down(serving("c")), draining(serving("c")));
    CHECK(Balancer(two_down).ask("JSESSIONID=" + id + ".b.c.a") == "a failover");
    two_down[0] = down(serving("a"));
    CHECK(Balancer(two_down).ask("JSESSIONID=" + id + ".b.c.a") == "d failover");
}

TEST_CASE("a list comes before redirects and hashing, and counts with nofailover= too", "[affinity]") {
    Balancer balancer({serving("a"), redirecting("d", down(serving("b"))), serving("c"), serving("d")});
    balancer.rules.nofailover = true;
    CHECK(balancer.ask("JSESSIONID=12345678.b.c") == "c failover");
    CHECK(balancer.ask("JSESSIONID=12345678.b") == "d failover");
    CHECK(balancer.choose("JSESSIONID=12345678.b.c").moved_from() == 1U);
    CHECK(looked_at(balancer.choose("JSESSIONID=12345678.b.c")) == std::vector<std::size_t>{1, 2});
}

TEST_CASE("a list ends where a route is unknown, and begins behind the id", "[affinity]") {
    Balancer balancer({serving("a"), down(serving("b")), serving("c"), serving("dc1.b"), serving("dc1")});
    const auto list_of = [&](std::string_view value) {
        const std::string cookie = "JSESSIONID=" + std::string(value);
        const Session session = balancer.session(cookie);
        std::string text = std::string(session.id) + ":" + std::string(session.route);
        for (const auto worker : session.further_workers()) text += " " + std::to_string(worker);
        return text;
    };
    CHECK(list_of("ID.b.a.c") == "ID:b 0 2");
    CHECK(list_of("ID.b.x.c") == "ID.b.x:c");
    CHECK(list_of("ID.b.c.x") == "ID.b.c.x:b.c.x");
    CHECK(list_of("ID.b.c.") == "ID.b.c.:b.c.");
    CHECK(list_of("b.a") == "b:a");
    CHECK(list_of(".b.a") == ":b 0");
    CHECK(list_of("ID.dc1.b.a") == "ID:dc1.b 0");
    CHECK(list_of("ID.a.a.a.a.a.a.a.a.c.b") == "ID.a.a:a 0 0 0 0 0 2 1");
    balancer.rules.separator = '!';
    CHECK(list_of("ID!b!c") == "ID:b 2");
}

// Consistent hashing and workers that fail.

TEST_CASE("an id whose worker fails goes to its next one, as a failover of that worker", "[affinity]") {
    const std::vector<Worker> with_failing = {serving("a"), failing(serving("b")), serving("c")};
    Balancer healthy(abc);
    Balancer balancer(with_failing);
    std::size_t moved = 0;
    for (std::uint64_t n = 0; n < 300; ++n) {
        const std::string id = session_id(n);
        const Choice choice = balancer.choose("JSESSIONID=" + id);
        const std::string was = healthy.ask("JSESSIONID=" + id);
        CAPTURE(id);
        if (was == "b hash") {
            ++moved;
            CHECK(choice.affinity == Affinity::failover);
            CHECK(choice.moved_from() == 1U);
            CHECK(looked_at(choice) == std::vector<std::size_t>{1});
            CHECK(balancer.ask("JSESSIONID=" + id) == balancer.holder(id, "failover"));
        } else {
            CHECK(balancer.ask("JSESSIONID=" + id) == was);
            CHECK_FALSE(choice.moved_from());
        }
    }
    CHECK(moved > 60);
    CHECK(balancer.tickets_drawn() == 0);
}

TEST_CASE("an id stays with its worker while another one fails and a spare or another set stands in", "[affinity]") {
    const auto stand_in = GENERATE(spare(serving("s")), standby(serving("s")), in_set(1, serving("s")));
    Balancer healthy({serving("a"), serving("b"), stand_in});
    Balancer balancer({serving("a"), failing(serving("b")), stand_in});
    for (std::uint64_t n = 0; n < 100; ++n) {
        const std::string cookie = "JSESSIONID=" + session_id(n);
        if (healthy.ask(cookie) == "a hash") CHECK(balancer.ask(cookie) == "a hash");
        if (healthy.ask(cookie) == "b hash") CHECK(balancer.ask(cookie).ends_with(" failover"));
    }
}

TEST_CASE("if all workers fail an id goes nowhere, and has moved from its worker", "[affinity]") {
    Balancer balancer({failing(serving("a")), failing(serving("b"))});
    const Choice choice = balancer.choose("JSESSIONID=12345");
    CHECK_FALSE(choice.worker);
    CHECK(choice.affinity == Affinity::failover);
    CHECK(choice.moved_from().has_value());
}

TEST_CASE("draining and disabling a worker take it out of consistent hashing", "[affinity]") {
    const auto out = GENERATE(draining(serving("b")), down(serving("b")), draining(failing(serving("b"))));
    Balancer balancer({serving("a"), out, serving("c")});
    for (std::uint64_t n = 0; n < 100; ++n)
        CHECK(balancer.ask("JSESSIONID=" + session_id(n)) == balancer.holder(session_id(n), "hash"));
}

TEST_CASE("an id in the URL that goes to a worker counts before one in the URL that the client sent", "[affinity]") {
    Balancer balancer(abc);
    balancer.proxied_url = "balancer://c/app;jsessionid=12345.b";
    CHECK(balancer.ask("JSESSIONID=12345.a", "/app") == "b route");
    CHECK(balancer.ask("", "/app;jsessionid=12345.c") == "b route");
    balancer.proxied_url = "balancer://c/app";
    CHECK(balancer.ask("", "/app;jsessionid=12345.c") == "c route");
}

// Full workers.

namespace {

// A balancer whose workers serve so many requests. `own` is its own cookie, which names workers by their routes.
class Full : public Activities, public WithOwnCookie {
public:
    Full(const std::vector<Worker>& workers, const std::vector<std::uint16_t>& requests, Limits limits = {0, 10})
        : Activities(workers.size()), WithOwnCookie(of(workers)) {
        serve(requests);
        rules.limits = limits;
    }

    // The answer, and the worker that the request wanted: "b overload of a".
    std::string ask_who(std::string_view cookies, std::string_view url = "/") {
        const Choice choice = choose(cookies, url);
        const auto wanted = choice.moved_from();
        return (choice.worker ? route(*choice.worker) : "nobody") + " " + word_for(choice.affinity) +
               (wanted ? " of " + route(*wanted) : "");
    }
};

// Where consistent hashing has the key while these routes are not there.
std::string holder_without(std::string_view key, std::vector<Worker> workers, std::string_view routes) {
    for (Worker& worker : workers)
        if (routes.find(worker.route) != std::string_view::npos) worker = down(worker);
    return holder_of(key, workers);
}

// An id that consistent hashing gives to the worker with that route.
std::string id_of(std::string_view route, const std::vector<Worker>& workers) {
    for (std::uint64_t n = 0;; ++n)
        if (holder_of(session_id(n), workers) == route) return session_id(n);
}

}  // namespace

TEST_CASE("a session whose worker is full goes where it would go if that one could not serve", "[affinity]") {
    Full balancer(abc, {0, 10, 0});
    for (std::uint64_t n = 0; n < 20; ++n) {
        const std::string id = session_id(n);
        CAPTURE(id);
        const std::string expected = holder_without(id, abc, "b") + " overload of b";
        CHECK(balancer.ask_who("JSESSIONID=" + id + ".b") == expected);
        CHECK(balancer.ask_who("", "/;jsessionid=" + id + ".b") == expected);
        CHECK(balancer.ask_who("JSESSIONID=" + id + "; own=.b") == expected);
        CHECK(Balancer(b_is_down).ask("JSESSIONID=" + id + ".b") == expected.substr(0, 1) + " failover");
        CHECK(balancer.ask_who("JSESSIONID=" + id + ".a") == "a route");
        CHECK(balancer.ask_who("JSESSIONID=" + id + ".c; own=.b") == "c route");
        CHECK(balancer.ask_who("JSESSIONID=" + id + "; own=.c") == "c cookie");
    }
    CHECK(balancer.tickets_drawn() == 0);
    SECTION("as long as it is full") {
        balancer.serve({0, 9, 0});
        CHECK(balancer.ask_who("JSESSIONID=1.b") == "b route");
        CHECK(balancer.ask_who("own=.b") == "b cookie");
    }
    SECTION("by the client's address, if it has no id") {
        CHECK(balancer.ask_who("own=.b") == holder_without("192.0.2.1", abc, "b") + " overload of b");
        CHECK(balancer.ask_who("JSESSIONID=.b") == holder_without("192.0.2.1", abc, "b") + " overload of b");
    }
    SECTION("which is one that is not full, if there is any") {
        balancer.serve({10, 10, 9});
        for (std::uint64_t n = 0; n < 20; ++n)
            CHECK(balancer.ask_who("JSESSIONID=" + session_id(n) + ".b") == "c overload of b");
    }
}

TEST_CASE("an id that consistent hashing has on a full worker goes to its next one, others stay", "[affinity]") {
    Full balancer(abc, {3, 10, 9});
    Balancer without_limits(abc);
    std::size_t moved = 0;
    for (std::uint64_t n = 0; n < 300; ++n) {
        const std::string id = session_id(n);
        const std::string cookie = "JSESSIONID=" + id;
        const std::string home = holder_of(id, abc);
        moved += home == "b";
        CHECK(balancer.ask_who(cookie) ==
              (home == "b" ? holder_without(id, abc, "b") + " overload of b" : home + " hash"));
    }
    CHECK(moved > 60);
    CHECK(balancer.tickets_drawn() == 0);
    balancer.serve({3, 9, 9});
    CHECK(balancer.ask_who("JSESSIONID=" + id_of("b", abc)) == "b hash");
}

TEST_CASE("a failover that leads to a full worker goes on to the next one", "[affinity]") {
    const std::vector<Worker> workers = {serving("a"), failing(serving("b")), serving("c"), serving("d")};
    Full balancer(workers, {10, 0, 2, 3});
    std::size_t moved = 0;
    for (std::uint64_t n = 0; n < 50; ++n) {
        const std::string id = session_id(n);
        const std::string next = holder_of(id, workers);
        const std::string expected = (next == "a" ? holder_without(id, workers, "a") : next) + " failover of b";
        moved += next == "a";
        CHECK(balancer.ask_who("JSESSIONID=" + id + ".b") == expected);
        CHECK(balancer.ask_who("JSESSIONID=" + id + "; own=b") == expected);
        // Without a route: the failover of its home.
        if (holder_of(id, {serving("a"), serving("b"), serving("c"), serving("d")}) == "b")
            CHECK(balancer.ask_who("JSESSIONID=" + id) == expected);
    }
    CHECK(moved > 5);
    SECTION("also one by redirect") {
        Full redirected({serving("a"), redirecting("a", down(serving("b"))), serving("c")}, {10, 0, 9});
        CHECK(redirected.ask_who("JSESSIONID=12345678.b") == "c failover of b");
        redirected.serve({9, 0, 9});
        CHECK(redirected.ask_who("JSESSIONID=12345678.b") == "a failover of b");
    }
}

TEST_CASE("sessions of a full worker go where its redirect points, if that is not full", "[affinity]") {
    const std::vector<Worker> workers = {serving("a"), redirecting("d", serving("b")), serving("c"),
                                         redirecting("e", serving("d")), serving("e")};
    Full balancer(workers, {0, 10, 0, 9, 0});
    CHECK(balancer.ask_who("JSESSIONID=12345678.b") == "d overload of b");
    CHECK(balancer.ask_who("own=.b") == "d overload of b");
    SECTION("else where the redirect of that one points") {
        balancer.serve({0, 10, 0, 10, 9});
        CHECK(balancer.ask_who("JSESSIONID=12345678.b") == "e overload of b");
    }
    SECTION("else by hashing") {
        balancer.serve({0, 10, 0, 10, 10});
        CHECK(balancer.ask_who("JSESSIONID=12345678.b") ==
              holder_without("12345678", workers, "bde") + " overload of b");
    }
    SECTION("which for an id that was only hashed is all there is") {
        const std::string id = id_of("b", workers);
        CHECK(balancer.ask_who("JSESSIONID=" + id) == holder_without(id, workers, "b") + " overload of b");
    }
    SECTION("but not where that one is draining or cannot serve") {
        const Worker target = GENERATE(draining(serving("d")), down(serving("d")));
        const std::vector<Worker> changed = {workers[0], workers[1], workers[2], target};
        Full another(changed, {0, 10, 10, 0});
        CHECK(another.ask_who("JSESSIONID=12345678.b") == "a overload of b");
    }
    SECTION("also to a spare, a standby or another set") {
        const Worker target = GENERATE(spare(serving("d")), standby(serving("d")), in_set(5, serving("d")));
        Full another({workers[0], workers[1], target}, {0, 10, 9});
        CHECK(another.ask_who("JSESSIONID=12345678.b") == "d overload of b");
        another.serve({0, 10, 10});
        CHECK(another.ask_who("JSESSIONID=12345678.b") == "a overload of b");
    }
}

TEST_CASE("of a list of routes the first worker that is not full gets the request", "[affinity]") {
    Full balancer({serving("a"), serving("b"), serving("c"), serving("d")}, {10, 10, 9, 0});
    CHECK(balancer.ask_who("JSESSIONID=12345678.b.a.c.d") == "c overload of b");
    CHECK(balancer.ask_who("JSESSIONID=12345678.b.d.c") == "d overload of b");
    CHECK(balancer.ask_who("JSESSIONID=12345678.c.b.a") == "c route");
    balancer.serve({10, 10, 10, 0});
    CHECK(balancer.ask_who("JSESSIONID=12345678.b.a.c") == "d overload of b");
    SECTION("before redirects") {
        Full redirected({serving("a"), redirecting("d", serving("b")), serving("c"), serving("d")}, {0, 10, 9, 0});
        CHECK(redirected.ask_who("JSESSIONID=12345678.b.c") == "c overload of b");
        redirected.serve({0, 10, 10, 0});
        CHECK(redirected.ask_who("JSESSIONID=12345678.b.c") == "d overload of b");
    }
    SECTION("not one that is draining") {
        Full another({serving("a"), serving("b"), draining(serving("c"))}, {9, 10, 0});
        CHECK(another.ask_who("JSESSIONID=12345678.b.c") == "a overload of b");
    }
    SECTION("also when the list's first worker is down") {
        Full another({serving("a"), down(serving("b")), serving("c"), serving("d")}, {10, 0, 0, 10});
        CHECK(another.ask_who("JSESSIONID=12345678.b.a.c") == "c failover of b");
        CHECK(another.ask_who("JSESSIONID=12345678.b.c.a") == "c failover of b");
    }
}

TEST_CASE("a full worker that is draining, a spare, a standby or of another set gives requests to others",
          "[affinity]") {
    const Worker full =
        GENERATE(draining(serving("b")), spare(serving("b")), standby(serving("b")), in_set(3, serving("b")));
    const std::vector<Worker> workers = {serving("a"), full, serving("c")};
    Full balancer(workers, {0, 10, 0});
    for (std::uint64_t n = 0; n < 20; ++n) {
        const std::string id = session_id(n);
        CHECK(balancer.ask_who("JSESSIONID=" + id + ".b") == holder_of(id, workers) + " overload of b");
        CHECK(balancer.ask_who("JSESSIONID=" + id + "; own=.b") == holder_of(id, workers) + " overload of b");
        CHECK(balancer.ask_who("JSESSIONID=" + id) == holder_of(id, workers) + " hash");
    }
    balancer.serve({0, 9, 0});
    CHECK(balancer.ask_who("JSESSIONID=1.b") == "b route");
}

TEST_CASE("requests of others do not go to workers that get none of others, however idle these are", "[affinity]") {
    Full balancer({serving("a"), serving("b"), spare(serving("c")), standby(serving("d")), in_set(1, serving("e"))},
                  {10, 12, 0, 0, 0});
    for (std::uint64_t n = 0; n < 20; ++n) {
        CHECK(balancer.ask_who("JSESSIONID=" + session_id(n) + ".a") == "a route");
        CHECK(balancer.ask_who("JSESSIONID=" + session_id(n) + ".b") == "a overload of b");
    }
}

TEST_CASE("where another of the same route can serve the request goes there", "[affinity]") {
    Full balancer({serving("a"), serving("b"), draining(serving("b")), serving("b"), serving("c")}, {0, 10, 10, 9, 0});
    const Choice choice = balancer.choose("JSESSIONID=12345678.b");
    CHECK(choice.worker == 3);
    CHECK(choice.affinity == Affinity::overload);
    CHECK(choice.moved_from() == 1U);
    balancer.serve({0, 10, 0, 0, 0});
    CHECK(balancer.choose("JSESSIONID=12345678.b").worker == 2);  // it is of its own
    balancer.serve({0, 10, 10, 10, 0});
    CHECK(balancer.ask("JSESSIONID=12345678.b") == holder_without("12345678", abc, "b") + " overload");
}

TEST_CASE("where the worker of the route is full the cookie's gets the request", "[affinity]") {
    Full balancer({serving("a"), redirecting("d", serving("b")), serving("c"), serving("d")}, {10, 9, 0, 0});
    CHECK(balancer.ask_who("JSESSIONID=12345678.a; own=.b") == "b overload of a");
    balancer.serve({10, 10, 0, 0});
    CHECK(balancer.ask_who("JSESSIONID=12345678.a; own=.b") == "d overload of a");
    CHECK(balancer.ask_who("JSESSIONID=12345678.a.c; own=.b") == "c overload of a");
}

TEST_CASE("where all are full, the less busy of the worker and its stand-in gets the request", "[affinity]") {
    const std::vector<Worker> two = {serving("a"), serving("b")};
    Full balancer(two, {30, 20});
    CHECK(balancer.ask_who("JSESSIONID=1.a") == "b overload of a");
    CHECK(balancer.ask_who("JSESSIONID=1.b") == "b route");
    CHECK(balancer.ask_who("JSESSIONID=1; own=.a") == "b overload of a");
    CHECK(balancer.ask_who("JSESSIONID=1; own=.b") == "b cookie");
    CHECK(balancer.ask_who("JSESSIONID=" + id_of("a", two)) == "b overload of a");
    CHECK(balancer.ask_who("JSESSIONID=" + id_of("b", two)) == "b hash");
    SECTION("of equals the worker itself") {
        balancer.serve({20, 20});
        CHECK(balancer.ask_who("JSESSIONID=1.a") == "a route");
        CHECK(balancer.ask_who("JSESSIONID=1.b") == "b route");
    }
    SECTION("by their load factors") {
        Full uneven({serving("a", 100), serving("b", 300)}, {15, 44});
        CHECK(uneven.ask_who("JSESSIONID=1.a") == "b overload of a");
        uneven.serve({15, 46});
        CHECK(uneven.ask_who("JSESSIONID=1.b") == "a overload of b");
        CHECK(uneven.ask_who("JSESSIONID=1.a") == "a route");
        uneven.serve({15, 45});
        CHECK(uneven.ask_who("JSESSIONID=1.a") == "a route");
        CHECK(uneven.ask_who("JSESSIONID=1.b") == "b route");
    }
    SECTION("two, and no more: who is the least busy of all has no part in it") {
        Full three(abc, {10, 30, 20});
        for (std::uint64_t n = 0; n < 20; ++n) {
            const std::string id = session_id(n);
            CHECK(three.ask_who("JSESSIONID=" + id + ".b") == holder_without(id, abc, "b") + " overload of b");
            CHECK(three.ask_who("JSESSIONID=" + id + ".c") ==
                  (holder_without(id, abc, "c") == "a" ? "a overload of c" : "c route"));
        }
    }
    SECTION("where a redirect or a list says who stands in, that one") {
        Full redirected({serving("a"), redirecting("c", serving("b")), serving("c")}, {10, 20, 15});
        CHECK(redirected.ask_who("JSESSIONID=12345678.b") == "c overload of b");
        CHECK(redirected.ask_who("JSESSIONID=12345678.b.a") == "a overload of b");
        redirected.serve({10, 20, 25});
        CHECK(redirected.ask_who("JSESSIONID=12345678.b") == "b route");
        CHECK(redirected.ask_who("JSESSIONID=12345678.c.b") == "b overload of c");
    }
    SECTION("also after a failover, which is compared with the next one and not with itself") {
        Full after({redirecting("b", down(serving("a"))), serving("b"), serving("c")}, {0, 30, 20});
        CHECK(after.ask_who("JSESSIONID=12345678.a") == "c failover of a");
        CHECK(after.ask_who("own=.a") == "c failover of a");
        CHECK(after.ask_who("JSESSIONID=12345678.a.b") == "c failover of a");
        after.serve({0, 20, 30});
        CHECK(after.ask_who("JSESSIONID=12345678.a") == "b failover of a");
    }
    SECTION("and a worker that is its own redirect, or twice in a list, is no stand-in for itself") {
        Full itself({redirecting("a", serving("a")), serving("b")}, {30, 20});
        CHECK(itself.ask_who("JSESSIONID=12345678.a") == "b overload of a");
        CHECK(itself.ask_who("JSESSIONID=12345678.a.a") == "b overload of a");
        CHECK(itself.ask_who("JSESSIONID=12345678.a.a.b") == "b overload of a");
    }
}

TEST_CASE("a full worker serves on where nobody else can", "[affinity]") {
    const Worker other = GENERATE(down(serving("b")), draining(serving("b")));
    Full balancer({serving("a"), other}, {50, 0});
    CHECK(balancer.ask_who("JSESSIONID=1.a") == "a route");
    CHECK(balancer.ask_who("own=.a") == "a cookie");
    CHECK(balancer.ask_who("JSESSIONID=1") == "a hash");
    CHECK(balancer.ask_who("") == "a new");
    balancer.rules.limits = {10, 10};
    CHECK(balancer.ask_who("") == "a new");
}

TEST_CASE("with nofailover no limit moves or refuses a request", "[affinity]") {
    const std::vector<Worker> workers = {serving("a"), redirecting("c", serving("b")), serving("c"),
                                         redirecting("b", down(serving("d"))), down(serving("e"))};
    Full balancer(workers, {0, 50, 0, 0, 0}, {10, 10});
    balancer.rules.nofailover = true;
    CHECK(balancer.ask_who("JSESSIONID=1.b") == "b route");
    CHECK(balancer.ask_who("JSESSIONID=1.b.a") == "b route");
    CHECK(balancer.ask_who("own=.b") == "b cookie");
    CHECK(balancer.ask_who("JSESSIONID=1; own=.b") == "b cookie");
    CHECK(balancer.ask_who("JSESSIONID=" + id_of("b", workers)) == "b hash");
    CHECK(balancer.ask_who("JSESSIONID=1.d") == "b failover of d");
    CHECK(balancer.ask_who("JSESSIONID=1.d.b") == "b failover of d");
    CHECK(balancer.ask_who("JSESSIONID=1.e") == "nobody refused of e");
    SECTION("but new sessions are placed where there is room") {
        for (int i = 0; i < 10; ++i) CHECK(balancer.ask("") != "b new");
        balancer.serve({50, 60, 70});
        for (int i = 0; i < 10; ++i) CHECK(balancer.ask("") == "a new");
    }
}

TEST_CASE("a limit for new sessions moves nobody who has one", "[affinity]") {
    Full balancer(abc, {0, 50, 0}, {10, 0});
    CHECK(balancer.ask_who("JSESSIONID=1.b") == "b route");
    CHECK(balancer.ask_who("own=.b") == "b cookie");
    CHECK(balancer.ask_who("JSESSIONID=" + id_of("b", abc)) == "b hash");
    CHECK(Full(b_is_down, {50, 0, 50}, {10, 0}).ask("JSESSIONID=12345678.b").ends_with(" failover"));
    SECTION("and holds for those who have none") {
        for (int i = 0; i < 9; ++i) CHECK(balancer.ask("") != "b new");
        balancer.rules.hash = false;
        for (int i = 0; i < 9; ++i) CHECK(balancer.ask("JSESSIONID=12345678") != "b new");
        CHECK(balancer.tickets_drawn() == 18);
    }
}

TEST_CASE("new sessions are placed by rotation, busyness or sessions, and never called overload", "[affinity]") {
    Full balancer(abc, {7, 3, 5}, {});
    CHECK(balancer.ask_who("") == "a new");
    CHECK_FALSE(balancer.choose("").other);
    balancer.rules.placement = Placement::busyness;
    CHECK(balancer.ask_who("") == "b new");
    CHECK(balancer.choose("").worker == 1);
    CHECK(balancer.choose("").other.has_value());
    CHECK_FALSE(balancer.choose("").moved_from());
    balancer.rules.placement = Placement::sessions;
    for (const std::size_t i : {0U, 1U})
        for (std::uint64_t n = 0; n < 10; ++n) balancer[i].session_seen(mix64(10 * i + n + 1), 6000);
    balancer.time = 6000;
    CHECK(balancer.ask("") == "c new");
    balancer.time = 6000 + 2 * Activity::window;
    const std::uint64_t drawn = balancer.tickets_drawn();
    CHECK(balancer.ask("") == abc[drawn % 3].route + " new");
    SECTION("by the lower limit") {
        balancer.rules.placement = Placement::rotation;
        balancer.rules.limits = GENERATE(Limits{5, 0}, Limits{0, 5}, Limits{5, 100}, Limits{100, 5});
        for (int i = 0; i < 6; ++i) CHECK(balancer.ask("") == "b new");
        balancer.serve({7, 8, 5});
        for (int i = 0; i < 6; ++i) CHECK(balancer.ask("") == "c new");
    }
    SECTION("and nothing else is, however busy its worker") {
        CHECK(balancer.ask_who("JSESSIONID=1.a") == "a route");
        CHECK(balancer.ask_who("own=.a") == "a cookie");
        CHECK(balancer.ask_who("JSESSIONID=" + id_of("a", abc)) == "a hash");
    }
}

TEST_CASE("a worker whose activity nobody knows is never full", "[affinity]") {
    Balancer balancer(abc);
    balancer.rules.limits = {1, 1};
    CHECK(balancer.ask("JSESSIONID=1.b") == "b route");
    CHECK(balancer.ask("") == "a new");
}

TEST_CASE("a choice names the workers whose state decided, of those that took over from a full one too", "[affinity]") {
    Full balancer(
        {serving("a"), redirecting("c", serving("b")), redirecting("d", draining(serving("c"))), serving("d")},
        {0, 10, 0, 0});
    using Indexes = std::vector<std::size_t>;
    CHECK(looked_at(balancer.choose("JSESSIONID=12345678.a")) == Indexes{0});
    CHECK(looked_at(balancer.choose("JSESSIONID=12345678.b")) == Indexes{1, 2, 3});
    balancer.serve({20, 15, 0, 20});
    CHECK(balancer.choose("JSESSIONID=12345678.b").worker == 1);
    CHECK(looked_at(balancer.choose("JSESSIONID=12345678.b")) == Indexes{1, 2, 3});
}

// The table again, put down independently: the first line of it whose worker may.
TEST_CASE("with limits the decision table is asked again without the full workers, in every combination",
          "[affinity]") {
    const std::string id = session_id(7);
    std::size_t overloads = 0;
    std::size_t kept = 0;
    std::vector<std::string> wrong;
    for (unsigned number = 0; number < 3 * 3 * 3 * 3 * 3 * 3 * 2 * 2; ++number) {
        unsigned rest = number;
        const auto one_of = [&rest](unsigned count) {
            const unsigned chosen = rest % count;
            rest /= count;
            return chosen;
        };
        std::vector<Worker> workers = {serving("a"), serving("b"), serving("c")};
        std::vector<std::uint16_t> requests(3);
        for (std::size_t i = 0; i < 3; ++i) {
            const unsigned state = one_of(3);
            if (state == 1) workers[i] = draining(workers[i]);
            if (state == 2) workers[i] = down(workers[i]);
            requests[i] = std::array<std::uint16_t, 3>{9, 12, 20}[(one_of(3) + i) % 3];
        }
        if (one_of(2) == 1) workers[0].redirect = "b";
        const bool nofailover = one_of(2) == 1;
        Full balancer(workers, requests);
        balancer.rules.nofailover = nofailover;
        const Limits limits = balancer.rules.limits;

        struct Request {
            std::string cookies;
            std::optional<std::size_t> route, cookie, further;
        };
        const Request asked[] = {{"JSESSIONID=" + id, {}, {}, {}},
                                 {"JSESSIONID=" + id + ".a", 0, {}, {}},
                                 {"JSESSIONID=" + id + "; own=a", {}, 0, {}},
                                 {"JSESSIONID=" + id + ".a; own=c", 0, 2, {}},
                                 {"JSESSIONID=" + id + ".b; own=a", 1, 0, {}},
                                 {"JSESSIONID=" + id + ".a.c", 0, {}, 2}};
        for (const Request& request : asked) {
            const auto first = [&](auto may) -> std::optional<std::size_t> {
                const auto serves = [&](std::optional<std::size_t> i) { return i && workers[*i].usable && may(*i); };
                const auto takes_over = [&](std::optional<std::size_t> i) {
                    return serves(i) && !workers[*i].draining;
                };
                if (serves(request.route)) return request.route;
                if (serves(request.cookie)) return request.cookie;
                if (takes_over(request.further)) return request.further;
                const bool redirected = !workers[0].redirect.empty() && (request.route == 0U || request.cookie == 0U);
                if (redirected && takes_over(1)) return 1;
                if (nofailover && (request.route || request.cookie)) return std::nullopt;
                std::vector<Worker> left = workers;
                for (std::size_t i = 0; i < 3; ++i)
                    if (!may(i)) left[i] = down(left[i]);
                return Roster(left).by_hash(id);
            };
            auto expected = first([](std::size_t) { return true; });
            const auto wanted = expected;
            if (wanted && requests[*wanted] >= 10 && !nofailover) {
                auto other = first([&](std::size_t i) { return requests[i] < 10; });
                if (!other) {
                    other = first([&](std::size_t i) { return i != wanted; });
                    if (other && requests[*other] >= requests[*wanted]) other = std::nullopt;
                }
                if (other) expected = other;
            }

            balancer.rules.limits = {};
            const Choice before = balancer.choose(request.cookies);
            const bool has_home = before.affinity != Affinity::failover;
            balancer.rules.limits = limits;
            const Choice choice = balancer.choose(request.cookies);
            const bool moved = expected != wanted;
            ++(moved ? overloads : kept);
            const bool right = choice.worker == expected && choice.other == (moved ? wanted : std::nullopt) &&
                               choice.affinity == (moved && has_home ? Affinity::overload : before.affinity) &&
                               choice.moved_from() == (moved && has_home ? wanted : before.moved_from());
            if (!right) wrong.push_back(std::to_string(number) + " " + request.cookies);
        }
    }
    CHECK(wrong == std::vector<std::string>{});
    CHECK(overloads > 1000);
    CHECK(kept > 5000);
}

}  // namespace lbsticky
