#include "core/placement.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/activity.hpp"
#include "core/hash64.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr std::uint32_t noon = 1'800'000'000;

// A balancer whose workers serve so many requests.
class Loaded {
public:
    explicit Loaded(const std::vector<Worker>& workers, const std::vector<std::uint16_t>& requests = {})
        : activities(workers.size()), roster(activities.of(workers)) {
        activities.serve(requests);
    }

    Placed place(Placement by, std::uint32_t limit = 0, std::uint32_t now = noon) {
        Tickets tickets(next);
        return lbsticky::place(by, limit, roster, tickets, 1000 * Milliseconds{now});
    }

    // The worker's route and, if load decided, that of the other one: "a", "a before b".
    std::string ask(Placement by, std::uint32_t limit = 0) {
        const Placed placed = place(by, limit);
        return route(placed.worker) + (placed.other ? " before " + route(placed.other) : "");
    }

    // So many answers, the routes alone.
    std::string ask_often(Placement by, int times, std::uint32_t limit = 0) {
        std::string routes;
        for (int i = 0; i < times; ++i) routes += (i == 0 ? "" : " ") + route(place(by, limit).worker);
        return routes;
    }

    // How often each worker is chosen.
    std::vector<int> chosen(Placement by, int times, std::uint32_t limit = 0) {
        std::vector<int> counts(roster.workers().size(), 0);
        for (int i = 0; i < times; ++i) ++counts[place(by, limit).worker.value()];
        return counts;
    }

    // A worker was seen to serve sessions, from number `first` on.
    void see_sessions(std::size_t worker, std::uint64_t first, std::uint64_t number, std::uint32_t now = noon) {
        for (std::uint64_t n = first; n < first + number; ++n) activities[worker].session_seen(mix64(n + 1), now);
    }

    Activities activities;
    Roster roster;
    std::atomic<std::uint64_t> next{0};

private:
    std::string route(std::optional<std::size_t> worker) const {
        return worker ? roster.workers()[*worker].route : "nobody";
    }
};

const std::vector<Worker> abcd = {serving("a"), serving("b"), serving("c"), serving("d")};
const std::vector<Worker> uneven = {serving("a", 100), serving("b", 500), serving("c", 133), serving("d", 250)};
constexpr int cycle = 983;  // of `uneven`

std::vector<Worker> equal_workers(std::size_t count) {
    std::vector<Worker> workers;
    for (std::size_t i = 0; i < count; ++i) workers.push_back(serving("node" + std::to_string(i)));
    return workers;
}

}  // namespace

// By turns.

TEST_CASE("by rotation a new session goes where the rotation says, however busy the workers are", "[placement]") {
    const std::uint32_t limit = GENERATE(0U, 1000U);  // nobody is full
    Loaded balancer(uneven, {900, 0, 7, 30});
    Roster alone(uneven);
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    std::size_t different = 0;
    for (int i = 0; i < 2 * cycle + 17; ++i) {
        const Placed placed = balancer.place(Placement::rotation, limit);
        different += placed.worker != alone.by_rotation(tickets, 0) || placed.other;
    }
    CHECK(different == 0);
    CHECK(balancer.next == next);
}

TEST_CASE("a new session costs one ticket, whatever it is placed by and however many are looked at", "[placement]") {
    Loaded balancer(abcd, {9, 9, 9, 1});
    std::uint64_t drawn = 0;
    for (const Placement by : {Placement::rotation, Placement::busyness, Placement::sessions}) {
        for (const std::uint32_t limit : {0U, 1U, 2U, 5U, 100U}) {
            balancer.place(by, limit);
            CHECK(balancer.next == ++drawn);
        }
    }
}

TEST_CASE("if nobody is eligible nobody gets a new session, and no ticket is drawn", "[placement]") {
    const std::vector<Worker> workers =
        GENERATE(std::vector<Worker>{}, std::vector<Worker>{down(serving("a")), draining(serving("b"))});
    Loaded balancer(workers);
    for (const Placement by : {Placement::rotation, Placement::busyness, Placement::sessions}) {
        CHECK(balancer.ask(by) == "nobody");
        CHECK(balancer.ask(by, 5) == "nobody");
    }
    CHECK(balancer.next == 0);
    CHECK_FALSE(balancer.roster.has_rotation());
}

TEST_CASE("only eligible workers get new sessions, however idle others are", "[placement]") {
    Loaded balancer({draining(serving("a")), serving("b"), down(serving("c")), in_set(1, serving("d")), serving("e"),
                     standby(serving("f"))},
                    {0, 50, 0, 0, 40, 0});
    for (const Placement by : {Placement::rotation, Placement::busyness, Placement::sessions}) {
        for (const std::uint32_t limit : {0U, 10U, 45U}) {
            const auto counts = balancer.chosen(by, 20, limit);
            CHECK(counts[1] + counts[4] == 20);
        }
    }
}

// By busyness.

TEST_CASE("by busyness the one of the next turns with the fewest requests in flight is chosen", "[placement]") {
    Loaded balancer(equal_workers(10), {9, 9, 5, 3, 4, 2, 9, 9, 9, 1});
    // Ten turns: of 0 to 7, of 1 to 8, of 2 to 9, and so on.
    CHECK(balancer.ask_often(Placement::busyness, 6) == "node5 node5 node9 node9 node9 node9");
}

TEST_CASE("eight workers are looked at, not nine", "[placement]") {
    CHECK(max_candidates == 8);
    Loaded balancer(equal_workers(9), {3, 3, 3, 3, 3, 3, 3, 2, 1});
    CHECK(balancer.ask_often(Placement::busyness, 1) == "node7");
    balancer.next = 0;
    balancer.activities.serve({3, 3, 3, 3, 3, 3, 3, 3, 1});
    CHECK(balancer.ask_often(Placement::busyness, 2) == "node0 node8");
}

TEST_CASE("workers are looked at, not turns: also one that has few turns", "[placement]") {
    Loaded balancer({serving("heavy", 1000), serving("light", 100)}, {50, 0});
    CHECK(balancer.chosen(Placement::busyness, 22)[1] == 22);
    CHECK(balancer.next == 22);
}

TEST_CASE("requests in flight count by the load factor", "[placement]") {
    Loaded balancer({serving("a", 100), serving("b", 300)}, {2, 5});
    CHECK(balancer.chosen(Placement::busyness, 100) == std::vector<int>{0, 100});
    balancer.activities.serve({2, 7});
    CHECK(balancer.chosen(Placement::busyness, 100) == std::vector<int>{100, 0});
    balancer.activities.serve({1, 4});
    CHECK(balancer.chosen(Placement::busyness, 100) == std::vector<int>{100, 0});
    SECTION("also where both are large") {
        Loaded large({serving("a", 10'000), serving("b", 9'999)}, {UINT16_MAX, UINT16_MAX});
        CHECK(large.chosen(Placement::busyness, 100) == std::vector<int>{100, 0});
    }
}

TEST_CASE("requests in all processes count", "[placement]") {
    const Activities activities(2, 3);
    for (std::uint16_t column = 0; column < 3; ++column) activities[0].cell(column) = 2;
    activities[1].cell(2) = 5;
    Roster roster(activities.of({serving("a"), serving("b")}));
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    CHECK(place(Placement::busyness, 0, roster, tickets, 1000 * Milliseconds{noon}).worker == 1);
    CHECK(place(Placement::rotation, 6, roster, tickets, 1000 * Milliseconds{noon}).worker == 1);
    CHECK(place(Placement::rotation, 6, roster, tickets, 1000 * Milliseconds{noon}).worker == 1);
}

TEST_CASE("of workers that are equally busy the one whose turn it is gets the new session", "[placement]") {
    const std::vector<std::uint16_t> requests =
        GENERATE(std::vector<std::uint16_t>{0, 0, 0, 0}, std::vector<std::uint16_t>{3, 3, 3, 3});
    Loaded balancer(abcd, requests);
    CHECK(balancer.ask_often(Placement::busyness, 8) == "a b c d a b c d");
    SECTION("by their load factors") {
        Loaded weighted(uneven, {100, 500, 133, 250});
        Roster alone(uneven);
        std::atomic<std::uint64_t> next{0};
        Tickets tickets(next);
        std::size_t different = 0;
        for (int i = 0; i < cycle; ++i)
            different += weighted.place(Placement::busyness).worker != alone.by_rotation(tickets, 0);
        CHECK(different == 0);
    }
}

TEST_CASE("as long as nobody is busy, weights hold exactly", "[placement]") {
    const Placement by = GENERATE(Placement::rotation, Placement::busyness, Placement::sessions);
    const std::uint32_t limit = GENERATE(0U, 1U);
    Loaded balancer(uneven);
    CHECK(balancer.chosen(by, 3 * cycle, limit) == std::vector<int>{300, 1500, 399, 750});
    CHECK_FALSE(balancer.place(by, limit).other);
}

TEST_CASE("the first that is idle is taken, and those before it are passed", "[placement]") {
    Loaded balancer({serving("a"), serving("b"), serving("c"), serving("d"), serving("e")}, {4, 1, 0, 0, 2});
    CHECK(balancer.ask(Placement::busyness) == "c before b");
    CHECK(balancer.ask(Placement::busyness) == "c before b");
    CHECK(balancer.ask(Placement::busyness) == "c");
    CHECK(balancer.ask(Placement::busyness) == "d");
    CHECK(balancer.ask(Placement::busyness) == "c before b");
}

TEST_CASE("a worker that is slow gets few new sessions, the others what they are due", "[placement]") {
    // A request every tick. The workers are fast enough but for the first, which needs fifty times as long.
    const std::vector<int> ticks = {150, 3, 3, 3};
    const auto served = [&](Placement by) {
        Loaded balancer(abcd);
        std::vector<int> counts(ticks.size(), 0);
        std::vector<std::deque<int>> ends(ticks.size());
        for (int now = 0; now < 6'000; ++now) {
            for (std::size_t i = 0; i < ends.size(); ++i) {
                for (; !ends[i].empty() && ends[i].front() <= now; ends[i].pop_front())
                    --balancer.activities[i].cell(0);
            }
            const std::size_t worker = balancer.place(by).worker.value();
            ++balancer.activities[worker].cell(0);
            ends[worker].push_back(now + ticks[worker]);
            ++counts[worker];
        }
        return counts;
    };
    CHECK(served(Placement::rotation) == std::vector<int>{1500, 1500, 1500, 1500});
    const auto counts = served(Placement::busyness);
    CHECK(counts[0] > 0);
    CHECK(counts[0] < 150);
    for (const std::size_t i : {1U, 2U, 3U}) {
        CHECK(counts[i] > 1900);
        CHECK(counts[i] < 2100);
    }
}

TEST_CASE("all requests in flight are spread by load factors where all are equally fast", "[placement]") {
    // Each of them is busy: none ever ends.
    Loaded balancer(uneven);
    for (int i = 0; i < 10 * cycle; ++i)
        ++balancer.activities[balancer.place(Placement::busyness).worker.value()].cell(0);
    const std::vector<int> due = {1000, 5000, 1330, 2500};
    for (std::size_t i = 0; i < due.size(); ++i) {
        CAPTURE(i);
        CHECK(balancer.activities[i].in_flight() >= static_cast<std::uint32_t>(due[i] - 5));
        CHECK(balancer.activities[i].in_flight() <= static_cast<std::uint32_t>(due[i] + 5));
    }
}

// By sessions.

TEST_CASE("by sessions the one of the next turns with the fewest sessions alive is chosen", "[placement]") {
    Loaded balancer(abcd, {0, 10, 0, 0});
    balancer.see_sessions(0, 0, 60);
    balancer.see_sessions(1, 100, 20);
    balancer.see_sessions(2, 200, 40);
    balancer.see_sessions(3, 300, 80);
    CHECK(balancer.ask_often(Placement::sessions, 8) == "b b b b b b b b");
    balancer.activities.serve({0, 90, 0, 0});  // these are of sessions that nobody has counted
    CHECK(balancer.ask_often(Placement::sessions, 4) == "c c c c");
    CHECK(balancer.place(Placement::sessions, 0, noon + 3 * Activity::window).worker == 0);  // none is alive any more
}

TEST_CASE("sessions count by the load factor", "[placement]") {
    Loaded balancer({serving("a", 100), serving("b", 300)});
    balancer.see_sessions(0, 0, 50);
    balancer.see_sessions(1, 100, 100);
    CHECK(balancer.chosen(Placement::sessions, 50) == std::vector<int>{0, 50});
    balancer.see_sessions(1, 1000, 500);
    std::vector<int> counts(2, 0);
    for (int i = 0; i < 50; ++i) ++counts[balancer.place(Placement::sessions, 0, noon + 1).worker.value()];
    CHECK(counts == std::vector<int>{50, 0});
}

TEST_CASE("sessions that were placed count at once, before their requests come", "[placement]") {
    Loaded balancer(abcd);
    balancer.see_sessions(0, 0, 8);
    std::vector<int> placed(4, 0);
    for (int i = 0; i < 23; ++i) {
        const std::size_t worker = balancer.place(Placement::sessions).worker.value();
        balancer.activities[worker].session_placed();
        ++placed[worker];
    }
    // Those that had none have caught up, but for the last one.
    CHECK(placed[0] == 0);
    CHECK(placed[1] + placed[2] + placed[3] == 23);
    for (const std::size_t i : {1U, 2U, 3U}) CHECK(placed[i] >= 7);
}

TEST_CASE("new sessions go to a worker that has been away until it has its share again", "[placement]") {
    Loaded balancer({serving("a", 200), serving("b", 100)});
    balancer.see_sessions(0, 0, 400);
    std::uint64_t number = 1000;
    std::vector<int> counts(2, 0);
    for (std::uint32_t second = 1; second <= 40; ++second) {
        for (int i = 0; i < 10; ++i) {
            const std::size_t worker = balancer.place(Placement::sessions, 0, noon + second).worker.value();
            balancer.activities[worker].session_placed();
            balancer.see_sessions(worker, number++, 1, noon + second);
            ++counts[worker];
        }
    }
    // 800 sessions by 2 to 1, within what the estimates are off.
    CHECK(counts[0] + counts[1] == 400);
    CHECK(counts[1] > 230);
    CHECK(counts[1] < 300);
}

// Full workers.

TEST_CASE("a new session is a request too: the lower limit holds for it", "[placement]") {
    CHECK(Limits{}.for_new_sessions() == 0);
    CHECK(Limits{5, 0}.for_new_sessions() == 5);
    CHECK(Limits{0, 7}.for_new_sessions() == 7);
    CHECK(Limits{5, 7}.for_new_sessions() == 5);
    CHECK(Limits{7, 5}.for_new_sessions() == 5);
    CHECK(Limits{5, 5}.for_new_sessions() == 5);
}

TEST_CASE("a worker is full from its limit on, which is for a load factor of 1", "[placement]") {
    const auto is_full_with = [](std::uint16_t requests, std::uint32_t factor, std::uint32_t limit) {
        const Activities activities(1);
        activities.serve({requests});
        return is_full(activities.of({serving("a", factor)})[0], limit);
    };
    CHECK_FALSE(is_full_with(9, 100, 10));
    CHECK(is_full_with(10, 100, 10));
    CHECK(is_full_with(11, 100, 10));
    CHECK_FALSE(is_full_with(19, 200, 10));
    CHECK(is_full_with(20, 200, 10));
    CHECK_FALSE(is_full_with(12, 125, 10));  // 12.5
    CHECK(is_full_with(13, 125, 10));
    CHECK_FALSE(is_full_with(0, 100, 1));
    CHECK(is_full_with(1, 100, 1));
    CHECK_FALSE(is_full_with(UINT16_MAX, 10'000, UINT32_MAX));
    SECTION("and never without a limit, or if nobody knows what it does") {
        CHECK_FALSE(is_full_with(0, 100, 0));
        CHECK_FALSE(is_full_with(UINT16_MAX, 100, 0));
        CHECK_FALSE(is_full(serving("a"), 1));
        CHECK_FALSE(is_full(serving("a"), 0));
    }
}

TEST_CASE("of two workers one is less busy by its load factor, of equals none", "[placement]") {
    const Activities activities(3);
    activities.serve({4, 8, 5});
    const auto workers = activities.of({serving("a", 100), serving("b", 200), serving("c", 100)});
    CHECK_FALSE(is_less_busy(workers[0], workers[1]));
    CHECK_FALSE(is_less_busy(workers[1], workers[0]));
    CHECK_FALSE(is_less_busy(workers[0], workers[0]));
    CHECK(is_less_busy(workers[0], workers[2]));
    CHECK(is_less_busy(workers[1], workers[2]));
    CHECK_FALSE(is_less_busy(workers[2], workers[1]));
    CHECK(is_less_busy(serving("x"), workers[0]));
    CHECK_FALSE(is_less_busy(workers[0], serving("x")));
}

TEST_CASE("a full worker is passed over", "[placement]") {
    Loaded balancer(abcd, {10, 3, 10, 9});
    CHECK(balancer.ask(Placement::rotation, 10) == "b before a");
    CHECK(balancer.ask(Placement::rotation, 10) == "b");
    CHECK(balancer.ask(Placement::rotation, 10) == "d before c");
    CHECK(balancer.ask(Placement::rotation, 10) == "d");
    CHECK(balancer.ask_often(Placement::rotation, 4, 11) == "a b c d");
    balancer.activities.serve({10, 10, 10, 9});
    CHECK(balancer.ask_often(Placement::rotation, 4, 10) == "d d d d");
    CHECK(balancer.ask_often(Placement::rotation, 4, 9) == "d d d d");  // all are full
    balancer.activities.serve({10, 3, 10, 9});
    CHECK(balancer.ask_often(Placement::busyness, 4, 10) == "b b b b");
}

TEST_CASE("the turns of a full worker go to those whose turns come next", "[placement]") {
    // The turns are a a b a a c a.
    Loaded balancer({serving("a", 500), serving("b", 100), serving("c", 100)}, {0, 10, 0});
    CHECK(balancer.ask_often(Placement::rotation, 7, 10) == "a a a a a c a");
    balancer.activities.serve({0, 0, 10});
    CHECK(balancer.ask_often(Placement::rotation, 7, 10) == "a a b a a a a");
}

TEST_CASE("where nearly all are full those that are not share the new sessions", "[placement]") {
    const Placement by = GENERATE(Placement::rotation, Placement::busyness, Placement::sessions);
    Loaded balancer(equal_workers(12), {1, 9, 9, 9, 9, 9, 1, 9, 9, 9, 9, 9});
    CHECK(balancer.chosen(by, 24, 9) == std::vector<int>{12, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0});
}

TEST_CASE("a limit goes by the load factor", "[placement]") {
    Loaded balancer({serving("a", 100), serving("b", 200)}, {10, 19});
    CHECK(balancer.chosen(Placement::rotation, 30, 10) == std::vector<int>{0, 30});
    balancer.activities.serve({9, 20});
    CHECK(balancer.chosen(Placement::rotation, 30, 10) == std::vector<int>{30, 0});
    balancer.activities.serve({9, 19});
    CHECK(balancer.chosen(Placement::rotation, 30, 10) == std::vector<int>{10, 20});
}

TEST_CASE("a full worker is passed over also if it has fewer sessions than others", "[placement]") {
    Loaded balancer(abcd, {5, 0, 1, 5});
    balancer.see_sessions(1, 100, 20);
    balancer.see_sessions(2, 200, 10);
    CHECK(balancer.ask_often(Placement::sessions, 4, 5) == "c c c c");
    CHECK(balancer.ask_often(Placement::sessions, 4, 6) == "a d d d");
}

TEST_CASE("where all are full the least busy of all is chosen", "[placement]") {
    const Placement by = GENERATE(Placement::rotation, Placement::busyness, Placement::sessions);
    std::vector<std::uint16_t> requests;
    for (std::uint16_t i = 0; i < 100; ++i) requests.push_back(static_cast<std::uint16_t>(100 + (i * 37 + 5) % 100));
    Loaded balancer(equal_workers(100), requests);
    for (std::size_t i = 0; i < 100; ++i) balancer.see_sessions(i, 1000 * i, 1 + i % 3);
    const auto least = static_cast<std::size_t>(std::min_element(requests.begin(), requests.end()) - requests.begin());
    for (int i = 0; i < 100; ++i) {
        const Placed placed = balancer.place(by, 100);
        REQUIRE(placed.worker == least);
        REQUIRE(placed.other);
        REQUIRE(placed.other != placed.worker);
    }
    SECTION("by load factors") {
        Loaded weighted({serving("a", 100), serving("b", 500)}, {20, 90});
        CHECK(weighted.chosen(by, 12, 10) == std::vector<int>{0, 12});
        weighted.activities.serve({20, 110});
        CHECK(weighted.chosen(by, 12, 10) == std::vector<int>{12, 0});
    }
    SECTION("and of equals the one whose turn it is") {
        Loaded equal(abcd, {10, 10, 10, 10});
        CHECK(equal.ask_often(by, 8, 5) == "a b c d a b c d");
    }
}

TEST_CASE("of thousands of workers the one that is not full is found, whoever's turn it is", "[placement]") {
    constexpr std::size_t many = 4096;
    const Placement by = GENERATE(Placement::rotation, Placement::busyness, Placement::sessions);
    Loaded balancer(equal_workers(many), std::vector<std::uint16_t>(many, 10));
    std::size_t wrong = 0;
    for (const std::size_t free : {0U, 1U, 2048U, 4094U, 4095U}) {
        balancer.activities[free].cell(0) = 9;
        for (const std::uint64_t ticket : {0U, 1U, 5U, 2047U, 2048U, 2049U, 4091U, 4094U, 4095U, 4096U}) {
            balancer.next = ticket;
            wrong += balancer.place(by, 10).worker != free;
        }
        balancer.activities[free].cell(0) = 10;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a single worker gets everything, full or not", "[placement]") {
    Loaded balancer({serving("a")}, {50});
    for (const Placement by : {Placement::rotation, Placement::busyness, Placement::sessions})
        for (const std::uint32_t limit : {0U, 10U, 100U}) CHECK(balancer.ask(by, limit) == "a");
}

TEST_CASE("what a worker that is much heavier leaves of the next turns is looked at", "[placement]") {
    // All four turns are a's, mostly: it is compared with nobody, and serves on.
    Loaded balancer({serving("a", 10'000), serving("b", 100)}, {200, 1});
    CHECK(balancer.ask(Placement::busyness) == "a");
    SECTION("unless it is full") {
        CHECK(balancer.ask(Placement::busyness, 2) == "b before a");
        CHECK(balancer.ask(Placement::rotation, 2) == "b before a");
    }
}

TEST_CASE("a worker whose activity nobody knows takes part, as one that is idle", "[placement]") {
    const Activities activities(1);
    activities.serve({5});
    std::vector<Worker> workers = activities.of({serving("a")});
    workers.push_back(serving("b"));
    Roster roster(workers);
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    for (const std::uint32_t limit : {0U, 5U}) {
        for (int i = 0; i < 4; ++i) {
            CHECK(place(Placement::busyness, limit, roster, tickets, 1000 * Milliseconds{noon}).worker == 1);
            const Placed placed = place(Placement::rotation, limit, roster, tickets, 1000 * Milliseconds{noon});
            CHECK(placed.worker == 1);
        }
    }
    SECTION("or by turns, if that is true of all") {
        Roster unknown(abcd);
        std::atomic<std::uint64_t> from_0{0};
        Tickets others(from_0);
        for (const Placement by : {Placement::rotation, Placement::busyness, Placement::sessions})
            for (std::size_t turn = 0; turn < 4; ++turn)
                CHECK(place(by, 1, unknown, others, 1000 * Milliseconds{noon}).worker == turn);
    }
}

TEST_CASE("the other one is named, if load decided", "[placement]") {
    Loaded balancer({serving("a"), serving("b")}, {2, 1});
    CHECK(balancer.ask(Placement::busyness) == "b before a");
    CHECK(balancer.ask(Placement::busyness) == "b before a");
    CHECK(balancer.ask(Placement::rotation) == "a");
    CHECK(balancer.ask(Placement::rotation, 9) == "b");
    balancer.activities.serve({0, 1});
    CHECK(balancer.ask(Placement::busyness) == "a");
    CHECK(balancer.ask(Placement::busyness) == "a before b");
    Loaded alone({serving("a")}, {7});
    CHECK(alone.ask(Placement::busyness) == "a");
}

TEST_CASE("each word of LBStickyPlace has its placement", "[placement]") {
    const auto named = [](std::string_view word) {
        const auto* known = find_word(placement_words, word);
        return known ? std::optional(known->second) : std::nullopt;
    };
    CHECK(named("rotation") == Placement::rotation);
    CHECK(named("busyness") == Placement::busyness);
    CHECK(named("sessions") == Placement::sessions);
}

}  // namespace lbsticky
