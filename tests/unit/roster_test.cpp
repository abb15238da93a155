#include "core/roster.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/hash64.hpp"
#include "core/route_id.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

// The eligible workers by route, in the rotation's numbering.
std::string eligible(const std::vector<Worker>& workers) {
    const Roster roster(workers);
    std::string routes;
    for (const auto index : roster.eligible()) routes += (routes.empty() ? "" : " ") + workers[index].route;
    return routes;
}

// The same by the loop of httpd 2.4's ap_proxy_balancer_get_best_worker().
std::vector<std::uint16_t> eligible_for_httpd(const std::vector<Worker>& workers) {
    int max_lbset = 0;
    for (int cur_lbset = 0; cur_lbset <= max_lbset; ++cur_lbset) {
        std::vector<std::uint16_t> candidates;
        std::vector<std::uint16_t> spares;
        std::vector<std::uint16_t> standbys;
        std::size_t unusable = 0;
        for (std::uint16_t i = 0; i < workers.size(); ++i) {
            const Worker& worker = workers[i];
            max_lbset = std::max(max_lbset, worker.lbset);
            if (worker.lbset != cur_lbset) continue;
            if (worker.draining) {
                if (!worker.spare && !worker.standby) ++unusable;
                continue;
            }
            if (worker.spare) {
                if (worker.usable) spares.push_back(i);
            } else if (worker.standby) {
                if (worker.usable) standbys.push_back(i);
            } else if (worker.usable) {
                candidates.push_back(i);
            } else {
                ++unusable;
            }
        }
        for (std::size_t i = 0; i < spares.size() && i < unusable; ++i) candidates.push_back(spares[i]);
        if (candidates.empty()) candidates = standbys;
        if (!candidates.empty()) return candidates;
    }
    return {};
}

std::vector<std::size_t> with_route(const Roster& roster, std::string_view route) {
    std::vector<std::size_t> workers;
    for (auto worker = roster.find(route); worker; worker = roster.same_route(*worker)) workers.push_back(*worker);
    return workers;
}

}  // namespace

TEST_CASE("workers that can serve and are not draining are eligible", "[roster]") {
    CHECK(eligible({serving("a"), serving("b"), serving("c")}) == "a b c");
    CHECK(eligible({serving("a"), down(serving("b")), serving("c")}) == "a c");
    CHECK(eligible({serving("a"), draining(serving("b")), serving("c")}) == "a c");
    CHECK(eligible({down(serving("a")), draining(serving("b")), down(draining(serving("c")))}).empty());
    CHECK(eligible({}).empty());
}

TEST_CASE("only the lowest set that has anyone at all is eligible", "[roster]") {
    CHECK(eligible({in_set(1, serving("a")), serving("b"), in_set(2, serving("c"))}) == "b");
    CHECK(eligible({in_set(1, serving("a")), down(serving("b")), in_set(2, serving("c"))}) == "a");
    CHECK(eligible({in_set(1, serving("a")), draining(serving("b")), in_set(1, serving("c"))}) == "a c");
    CHECK(eligible({in_set(99, serving("a")), in_set(98, serving("b"))}) == "b");
    CHECK(eligible({in_set(1, down(serving("a"))), down(serving("b"))}).empty());
}

TEST_CASE("a standby serves when nobody else of its set can, and before the next set does", "[roster]") {
    CHECK(eligible({serving("a"), standby(serving("b"))}) == "a");
    CHECK(eligible({down(serving("a")), standby(serving("b"))}) == "b");
    CHECK(eligible({draining(serving("a")), standby(serving("b")), standby(serving("c"))}) == "b c");
    CHECK(eligible({down(serving("a")), standby(down(serving("b"))), standby(serving("c"))}) == "c");
    CHECK(eligible({down(serving("a")), standby(draining(serving("b")))}).empty());
    CHECK(eligible({standby(serving("a"))}) == "a");
    CHECK(eligible({down(serving("a")), standby(serving("b")), in_set(1, serving("c"))}) == "b");
    CHECK(eligible({down(serving("a")), in_set(1, serving("b")), in_set(1, standby(serving("c")))}) == "b");
}

TEST_CASE("spares stand in one for one for workers of their set that cannot serve", "[roster]") {
    CHECK(eligible({serving("a"), serving("b"), spare(serving("c"))}) == "a b");
    CHECK(eligible({serving("a"), down(serving("b")), spare(serving("c")), spare(serving("d"))}) == "a c");
    CHECK(eligible({serving("a"), draining(serving("b")), spare(serving("c"))}) == "a c");
    CHECK(eligible({down(serving("a")), down(serving("b")), spare(serving("c")), spare(serving("d"))}) == "c d");
    CHECK(eligible({spare(serving("a")), spare(serving("b")), down(serving("c")), serving("d")}) == "d a");
    CHECK(eligible({down(serving("a")), spare(down(serving("b"))), spare(serving("c"))}) == "c");
    CHECK(eligible({down(serving("a")), spare(draining(serving("b"))), spare(serving("c"))}) == "c");
    CHECK(eligible({serving("a"), in_set(1, down(serving("b"))), spare(serving("c"))}) == "a");
    CHECK(eligible({down(serving("a")), in_set(1, spare(serving("b"))), in_set(1, serving("c"))}) == "c");
    CHECK(eligible({spare(serving("a"))}).empty());
}

TEST_CASE("a session is remembered to be with whom its route names, before a standby that shares it", "[roster]") {
    Roster roster({failing(standby(serving("a"))), serving("a"), serving("b")});
    CHECK(roster.find("a") == 1);
    CHECK(roster.find_by_hash(hash64(route_id(roster.workers()[1].url, "a"))) == 1);
}

TEST_CASE("a spare or a standby that cannot serve needs nobody to stand in for it", "[roster]") {
    CHECK(eligible({serving("a"), spare(down(serving("b"))), spare(serving("c"))}) == "a");
    CHECK(eligible({serving("a"), standby(down(serving("b"))), spare(serving("c"))}) == "a");
    CHECK(eligible({standby(draining(serving("a"))), spare(serving("b"))}).empty());
}

TEST_CASE("spares come before standbys", "[roster]") {
    CHECK(eligible({down(serving("a")), standby(serving("b")), spare(serving("c"))}) == "c");
    CHECK(eligible({down(serving("a")), standby(serving("b")), spare(down(serving("c")))}) == "b");
}

TEST_CASE("eligible are those that httpd's own scan would choose from, in every state of three workers", "[roster]") {
    constexpr unsigned states = 32;
    std::size_t different = 0;
    const auto in_state = [](std::string_view route, unsigned bits) {
        Worker worker = serving(route);
        worker.usable = bits & 1;
        worker.draining = bits & 2;
        worker.spare = bits & 4;
        worker.standby = bits & 8;
        worker.lbset = bits & 16 ? 1 : 0;
        return worker;
    };
    for (unsigned a = 0; a < states; ++a) {
        for (unsigned b = 0; b < states; ++b) {
            for (unsigned c = 0; c < states; c += tsan_divisor == 1 ? 1 : 5) {
                const std::vector<Worker> workers = {in_state("a", a), in_state("b", b), in_state("c", c)};
                different += Roster(workers).eligible() != eligible_for_httpd(workers);
            }
        }
    }
    CHECK(different == 0);
}

TEST_CASE("a worker is found by its route, whatever its state", "[roster]") {
    const Roster roster({serving("a"), down(serving("b")), draining(serving("c")), spare(serving("d")),
                         standby(serving("e")), in_set(3, serving("f")), serving("A"), serving("a.b"), serving(".a")});
    const std::vector<std::string> routes = {"a", "b", "c", "d", "e", "f", "A", "a.b", ".a"};
    for (std::size_t i = 0; i < routes.size(); ++i) {
        CAPTURE(routes[i]);
        CHECK(roster.find(routes[i]) == i);
        CHECK_FALSE(roster.same_route(i));
    }
    for (const std::string_view unknown : {"", "x", "aa", "a.", "b.a", "F"}) {
        CAPTURE(unknown);
        CHECK_FALSE(roster.find(unknown));
    }
}

TEST_CASE("a worker without a route is not found by one, but is eligible", "[roster]") {
    const Roster roster({serving(""), serving("b"), serving("")});
    CHECK_FALSE(roster.find(""));
    CHECK_FALSE(roster.find(route_id(roster.workers()[0].url, roster.workers()[0].route)));
    CHECK(roster.eligible() == std::vector<std::uint16_t>{0, 1, 2});
    CHECK_FALSE(roster.same_route(0));
    CHECK_FALSE(roster.same_route(2));
}

TEST_CASE("workers that share a route are found in their order, those that are not standby first", "[roster]") {
    CHECK(with_route(Roster({serving("a"), serving("b"), serving("a"), serving("a")}), "a") ==
          std::vector<std::size_t>{0, 2, 3});
    CHECK(with_route(Roster({standby(serving("a")), serving("b"), serving("a"), standby(serving("a")), serving("a")}),
                     "a") == std::vector<std::size_t>{2, 4, 0, 3});
    CHECK(with_route(Roster({standby(serving("a")), standby(serving("a"))}), "a") == std::vector<std::size_t>{0, 1});
}

TEST_CASE("the rotation runs over the eligible workers by their factors", "[roster]") {
    Roster roster({down(serving("a", 300)), serving("b", 500), draining(serving("c", 700)), serving("d", 100),
                   serving("e", 100)});
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    std::vector<std::size_t> order;
    for (int i = 0; i < 7; ++i) order.push_back(roster.by_rotation(tickets, 0).value());
    CHECK(order == std::vector<std::size_t>{1, 1, 3, 1, 1, 4, 1});
    CHECK(next == 7);
}

TEST_CASE("the rotation is built when it is first asked for, by a ticket or what is owed", "[roster]") {
    const std::vector<Worker> workers = {serving("a"), serving("b", 733), failing(serving("c"))};
    Roster roster(workers);
    roster.by_hash("12345");
    roster.home_of("12345");
    roster.find("b");
    CHECK_FALSE(roster.has_rotation());
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    roster.by_rotation(tickets, 0);
    CHECK(roster.has_rotation());

    Roster another(workers);
    CHECK(another.owed(0) == std::vector<int>{0, 0, 0});
    CHECK(another.has_rotation());

    Roster nobody({down(serving("a"))});
    CHECK_FALSE(nobody.by_rotation(tickets, 0));
    CHECK_FALSE(nobody.has_rotation());
}

TEST_CASE("the picks of the rotation are places among the eligible workers", "[roster]") {
    Roster roster({down(serving("a", 300)), serving("b", 500), draining(serving("c", 700)), serving("d", 100),
                   serving("e", 100)});
    Roster another(roster.workers());
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    CHECK(roster.rotation().cycle() == 7);
    CHECK(roster.has_rotation());
    for (std::uint64_t ticket = 0; ticket < 20; ++ticket)
        CHECK(roster.eligible()[roster.rotation().pick(ticket)] == another.by_rotation(tickets, 0));
    CHECK(&roster.rotation() == &roster.rotation());
    CHECK(Roster({}).rotation().cycle() == 0);
}

TEST_CASE("if nobody is eligible, nobody is chosen and no ticket is drawn", "[roster]") {
    Roster roster({down(serving("a")), draining(serving("b"))});
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    CHECK_FALSE(roster.by_rotation(tickets, 0));
    CHECK_FALSE(roster.by_hash("12345"));
    CHECK(next == 0);
    CHECK(roster.owed(5) == std::vector<int>{0, 0});

    Roster empty({});
    CHECK_FALSE(empty.by_rotation(tickets, 0));
    CHECK_FALSE(empty.by_hash("12345"));
    CHECK_FALSE(empty.find("a"));
    CHECK(empty.owed(5).empty());
}

TEST_CASE("consistent hashing places sessions on eligible workers only, and moves as few as it can", "[roster]") {
    const std::vector<Worker> all = {serving("a"), serving("b", 300), serving("c"), serving("")};
    std::vector<Worker> fewer = all;
    SECTION("when one is down") {
        fewer[1] = down(fewer[1]);
    }
    SECTION("when one is draining") {
        fewer[1] = draining(fewer[1]);
    }
    SECTION("when one changes to another set") {
        fewer[1] = in_set(1, fewer[1]);
    }
    SECTION("when one becomes a standby") {
        fewer[1] = standby(fewer[1]);
    }
    Roster before(all);
    Roster after(fewer);
    std::size_t moved = 0;
    for (std::uint64_t n = 0; n < 2000; ++n) {
        const std::string id = session_id(n);
        const std::size_t old_place = before.by_hash(id).value();
        const std::size_t new_place = after.by_hash(id).value();
        CHECK(new_place != 1);
        if (old_place != 1) CHECK(new_place == old_place);
        moved += old_place != new_place;
    }
    CHECK(moved > 800);  // of 1,000 that it is due
}

TEST_CASE("among some workers a session goes where it would go if the others could not serve", "[roster]") {
    // The indices are those of all workers, also behind ones that are not eligible.
    const std::vector<Worker> workers = {down(serving("x")), serving("a"),           standby(serving("y")),
                                         serving("b", 300),  draining(serving("z")), serving("c")};
    const Roster roster(workers);
    Roster all(workers);
    for (std::uint64_t n = 0; n < 200; ++n) {
        const std::string id = session_id(n);
        CHECK(roster.by_hash_among(id, [](std::size_t) { return true; }) == all.by_hash(id));
        for (const std::size_t left_out : {1U, 3U, 5U}) {
            std::vector<Worker> fewer = workers;
            fewer[left_out] = down(fewer[left_out]);
            const auto worker = roster.by_hash_among(id, [&](std::size_t index) { return index != left_out; });
            CHECK(worker == Roster(fewer).by_hash(id));
        }
        CHECK(roster.by_hash_among(id, [](std::size_t index) { return index == 5; }) == 5);
    }
    const auto is_not_eligible = [](std::size_t index) { return index % 2 == 0; };
    CHECK_FALSE(roster.by_hash_among("12345", is_not_eligible));
    CHECK_FALSE(Roster({}).by_hash_among("12345", [](std::size_t) { return true; }));
}

TEST_CASE("consistent hashing goes by routes, else URLs: not by the order of workers", "[roster]") {
    std::vector<Worker> workers = {serving("a"), serving("b", 200), serving(""), serving("d")};
    workers[2].url = "http://nameless.example";
    std::vector<Worker> reversed(workers.rbegin(), workers.rend());
    std::vector<Worker> elsewhere = workers;
    for (auto& worker : elsewhere)
        if (!worker.route.empty()) worker.url = "http://elsewhere/" + worker.route;
    Roster one(workers);
    Roster another(reversed);
    Roster third(elsewhere);
    std::map<std::size_t, int> held;
    for (std::uint64_t n = 0; n < 500; ++n) {
        const std::size_t place = one.by_hash(session_id(n)).value();
        CHECK(another.by_hash(session_id(n)) == workers.size() - 1 - place);
        CHECK(third.by_hash(session_id(n)) == place);
        ++held[place];
    }
    CHECK(held.size() == 4);
}

TEST_CASE("what each worker is owed stands at its index; one that is not eligible is owed nothing", "[roster]") {
    Roster roster({serving("a"), down(serving("b")), serving("c"), draining(serving("d")), serving("e")});
    CHECK(roster.owed(0) == std::vector<int>{0, 0, 0, 0, 0});
    CHECK(roster.owed(1) == std::vector<int>{-66, 0, 33, 0, 33});
    CHECK(roster.owed(2) == std::vector<int>{-33, 0, -33, 0, 66});
    CHECK(roster.owed(3) == std::vector<int>{0, 0, 0, 0, 0});
}

TEST_CASE("a roster holds the workers it was built from", "[roster]") {
    const std::vector<Worker> workers = {serving("a", 250), redirecting("a", down(serving("b")))};
    CHECK(Roster(workers).workers() == workers);
}

TEST_CASE("a roster of thousands of workers finds every one of them", "[roster]") {
    std::vector<Worker> workers;
    for (int i = 0; i < 4096; ++i) workers.push_back(serving("node" + std::to_string(i)));
    const Roster roster(workers);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < workers.size(); ++i) wrong += roster.find(workers[i].route) != i;
    CHECK(wrong == 0);
    CHECK_FALSE(roster.find("node4096"));
}

TEST_CASE("a roster has at most 65,535 workers", "[roster]") {
    std::vector<Worker> workers(65'536, serving("a"));
    CHECK_THROWS_AS(Roster(workers), std::length_error);
    workers.pop_back();
    workers.back().route = "last";
    Roster roster(workers);
    CHECK(roster.find("last") == 65'534);
    CHECK(roster.eligible().size() == 65'535);
    std::atomic<std::uint64_t> next{65'534};
    Tickets tickets(next);
    CHECK(roster.by_rotation(tickets, 0) == 65'534);
    CHECK(roster.by_rotation(tickets, 0) == 0);
}

TEST_CASE("a worker is failing if a failure, and nothing else, keeps it from serving", "[roster]") {
    const auto status = [](auto... flags) {
        Status made;
        made.usable = false;
        ((made.*flags = true), ...);
        return made;
    };
    CHECK(status(&Status::in_error).failing());
    CHECK(status(&Status::unhealthy, &Status::draining).failing());
    CHECK_FALSE(status().failing());  // httpd has not initialised it
    CHECK_FALSE(status(&Status::disabled).failing());
    CHECK_FALSE(status(&Status::in_error, &Status::disabled).failing());
    CHECK_FALSE(status(&Status::unhealthy, &Status::stopped).failing());
    CHECK_FALSE(Status{}.failing());
}

}  // namespace lbsticky
