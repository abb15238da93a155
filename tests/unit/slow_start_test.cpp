#include "core/slow_start.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "catch.hpp"
#include "core/placement.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr Milliseconds noon = 1'800'000'000'000;
constexpr Milliseconds minute = 60'000;
constexpr SlowStart in_a_minute{minute, 10};
constexpr auto whole = static_cast<double>(SlowStart::whole);

// How far what was taken has been from what was to be taken: the least and the most of all times, so that what lies
// between is how far it was off over any window.
class Drift {
public:
    void add(double taken, double due) {
        now_ += taken - due;
        least_ = std::min(least_, now_);
        most_ = std::max(most_, now_);
    }
    double over_any_window() const { return most_ - least_; }

private:
    double now_ = 0, least_ = 0, most_ = 0;
};

// A balancer whose workers have activities.
struct Recovering {
    explicit Recovering(const std::vector<Worker>& workers, SlowStart slow_start = in_a_minute)
        : activities(workers.size()), roster(activities.of(workers), slow_start) {}

    std::size_t ask(Milliseconds now, Placement by = Placement::rotation, std::uint32_t limit = 0) {
        Tickets tickets(next);
        return place(by, limit, roster, tickets, now).worker.value();
    }

    // How many of so many new sessions each worker gets.
    std::vector<int> shares(int sessions, Milliseconds now, Placement by = Placement::rotation) {
        std::vector<int> counts(roster.workers().size());
        for (int i = 0; i < sessions; ++i) ++counts[ask(now, by)];
        return counts;
    }

    Activities activities;
    Roster roster;
    std::atomic<std::uint64_t> next{0};
};

}  // namespace

TEST_CASE("a part begins with `from` and rises with time, until it is all", "[slow_start]") {
    const auto hundredths = [](const SlowStart& slow_start, Milliseconds after) {
        return std::lround(100 * static_cast<double>(slow_start.part(noon, noon + after)) / whole);
    };
    CHECK(hundredths(in_a_minute, 0) == 10);
    CHECK(hundredths(in_a_minute, 6'000) == 10);
    CHECK(hundredths(in_a_minute, 6'600) == 11);
    CHECK(hundredths(in_a_minute, 30'000) == 50);
    CHECK(hundredths(in_a_minute, 59'400) == 99);
    CHECK(in_a_minute.part(noon, noon + 59'999) < SlowStart::whole);
    CHECK(in_a_minute.part(noon, noon + minute) == SlowStart::whole);
    CHECK(in_a_minute.part(noon, noon + 100 * minute) == SlowStart::whole);
    CHECK(hundredths({minute, 1}, 0) == 1);
    CHECK(hundredths({minute, 70}, 40'000) == 70);
    CHECK(hundredths({minute, 100}, 0) == 100);
    CHECK(hundredths({SlowStart::longest, 10}, SlowStart::longest / 2) == 50);
    SECTION("a request that came before is at the beginning") {
        CHECK(in_a_minute.part(noon, noon - 1000) == in_a_minute.part(noon, noon));
    }
    SECTION("nothing takes no time") {
        CHECK(SlowStart{}.part(noon, noon) == SlowStart::whole);
    }
}

TEST_CASE("of its turns a worker takes its part, and is never a whole turn off over any window", "[slow_start]") {
    const double part = GENERATE(0.01, 0.1, 0.375, 0.5, 0.61803398875, 0.999, 1.0);
    const SharedMemory memory(sizeof(Thinning));
    auto& thinning = *static_cast<Thinning*>(memory.address());
    Drift drift;
    int taken = 0;
    for (int turn = 0; turn < 10'000; ++turn) {
        const bool takes = thinning.takes(static_cast<std::uint64_t>(part * whole));
        drift.add(takes ? 1 : 0, part);
        taken += takes;
    }
    CHECK(drift.over_any_window() < 1.0001);
    CHECK(std::abs(taken - 10'000 * part) < 1.0001);
}

TEST_CASE("what is explained of turns is so", "[slow_start]") {
    const auto takes = [](std::uint64_t eighths) {
        const SharedMemory memory(sizeof(Thinning));
        std::string text;
        for (int i = 0; i < 8; ++i)
            text += static_cast<Thinning*>(memory.address())->takes(eighths * SlowStart::whole / 8) ? "1" : "0";
        return text;
    };
    CHECK(takes(8) == "11111111");
    CHECK(takes(4) == "01010101");
    CHECK(takes(3) == "00100101");
}

TEST_CASE("while a worker recovers the others have the turns that they would have anyway", "[slow_start]") {
    // From the first moment to the last, with every ratio of load factors, and requests that come ever faster or
    // slower.
    const std::vector<std::uint32_t> factors =
        GENERATE(std::vector<std::uint32_t>{100, 100}, std::vector<std::uint32_t>{100, 100, 100, 100},
                 std::vector<std::uint32_t>{300, 100, 200, 500}, std::vector<std::uint32_t>{5000, 100, 130},
                 std::vector<std::uint32_t>{100, 5000, 130});
    const Milliseconds pause = GENERATE(1, 7, 400);
    std::vector<Worker> workers;
    for (std::size_t i = 0; i < factors.size(); ++i) workers.push_back(serving("w" + std::to_string(i), factors[i]));
    const Rotation order(factors);
    workers[0] = recovering(noon, workers[0]);
    Recovering balancer(workers);

    std::uint64_t ticket = 0;
    Drift drift;
    std::size_t wrong = 0;
    for (Milliseconds now = noon; now < noon + minute + 5 * pause; now += pause) {
        const double part = static_cast<double>(in_a_minute.part(noon, now)) / whole;
        const std::size_t chosen = balancer.ask(now);
        // Whose turns pass are the recovering worker's, and nobody else's.
        for (; order.pick(ticket) == 0 && ticket + 1 < balancer.next; ++ticket) drift.add(0, part);
        wrong += order.pick(ticket) != chosen;
        if (chosen == 0) drift.add(1, part);
        ++ticket;
        wrong += ticket != balancer.next;
    }
    CHECK(wrong == 0);
    CHECK(drift.over_any_window() < 1.0001);
}

TEST_CASE("a recovering worker gets its part of its share, exactly", "[slow_start]") {
    const Worker a = recovering(noon, serving("a"));
    SECTION("among equals") {
        Recovering balancer({a, serving("b"), serving("c")});
        CHECK(balancer.shares(210, noon) == std::vector<int>{10, 100, 100});
        CHECK(balancer.shares(250, noon + minute / 2) == std::vector<int>{50, 100, 100});
        CHECK(balancer.shares(300, noon + minute) == std::vector<int>{100, 100, 100});
    }
    SECTION("by its load factor") {
        Recovering balancer({recovering(noon, serving("a", 300)), serving("b", 100), serving("c", 200)});
        CHECK(balancer.shares(330, noon) == std::vector<int>{30, 100, 200});
    }
    SECTION("as its own setting says") {
        Recovering balancer({a, serving("b")}, {minute, 50});
        CHECK(balancer.shares(150, noon) == std::vector<int>{50, 100});
    }
    SECTION("beside others that recover, each by its own time") {
        Recovering balancer({a, recovering(noon - minute / 2, serving("b")), serving("c")});
        CHECK(balancer.shares(160, noon) == std::vector<int>{10, 50, 100});
    }
}

TEST_CASE("where all who are eligible are recovering, none is held back", "[slow_start]") {
    Recovering balancer({recovering(noon, serving("a")), recovering(noon - 1000, serving("b", 200))});
    CHECK(balancer.shares(30, noon) == std::vector<int>{10, 20});
    CHECK_FALSE(balancer.roster.is_held_back(0));
    SECTION("also where others are, but not eligible") {
        Recovering others({recovering(noon, serving("a")), standby(serving("b")), draining(serving("c")),
                           down(serving("d")), in_set(1, serving("e"))});
        CHECK(others.shares(10, noon) == std::vector<int>{10, 0, 0, 0, 0});
    }
}

TEST_CASE("consistent hashing and sessions of its own do not wait", "[slow_start]") {
    const std::vector<Worker> workers{serving("a"), serving("b"), serving("c")};
    Recovering balancer({recovering(noon, workers[0]), workers[1], workers[2]});
    for (std::uint64_t n = 0; n < 200; ++n) {
        const std::string id = session_id(n);
        REQUIRE(workers[balancer.roster.by_hash(id).value()].route == holder_of(id, workers));
    }
    CHECK(balancer.roster.find("a") == 0);
}

TEST_CASE("requests that cannot begin a session do not take a recovering worker's turns", "[slow_start]") {
    // Alternately one of each: half of its turns are its own.
    Recovering balancer({recovering(noon, serving("a")), serving("b")}, {minute, 50});
    std::atomic<std::uint64_t> next_without{0};
    std::vector<int> with(2), without(2);
    for (int i = 0; i < 300; ++i) {
        ++with[balancer.ask(noon)];
        Tickets tickets(next_without, 1);
        ++without[place(Placement::rotation, 0, balancer.roster, tickets, noon).worker.value()];
    }
    CHECK(with == std::vector<int>{100, 200});
    CHECK(without == std::vector<int>{100, 200});
}

TEST_CASE("a rehearsal tells whose turn it would be, and leaves it to them", "[slow_start]") {
    // Two of them recover, one of which has several turns in a row.
    Recovering balancer({recovering(noon, serving("a", 5)), recovering(noon, serving("b", 2)), serving("c")},
                        {minute, 30});
    std::vector<int> told(3);
    for (int i = 0; i < 300; ++i) {
        std::atomic<std::uint64_t> copy(balancer.next.load());
        Tickets rehearsed = Tickets::to_rehearse(copy);
        const auto expected = balancer.roster.by_rotation(rehearsed, noon);
        copy = balancer.next.load();
        CHECK(balancer.roster.by_rotation(rehearsed, noon) == expected);
        CHECK(balancer.ask(noon) == expected);
        ++told[expected.value()];
    }
    CHECK(*std::min_element(told.begin(), told.end()) > 0);
}

TEST_CASE("by load too a recovering worker gets its part at most, however idle it is", "[slow_start]") {
    const Placement by = GENERATE(Placement::busyness, Placement::sessions);
    Recovering balancer({recovering(noon, serving("a")), serving("b"), serving("c")});
    balancer.activities.serve({0, 5, 5});
    for (const std::size_t busy : {1U, 2U})
        for (std::uint64_t n = 0; n < 500; ++n)
            balancer.activities[busy].session_seen(mix64(1000 * busy + n), static_cast<std::uint32_t>(noon / 1000));
    const std::vector<int> shares = balancer.shares(210, noon, by);
    CHECK(shares[0] == 10);
    CHECK(shares[1] + shares[2] == 200);
    SECTION("which may be less") {
        balancer.activities.serve({9, 5, 5});
        CHECK(balancer.shares(100, noon, Placement::busyness)[0] == 0);
    }
}

TEST_CASE("a full worker is passed over for others, and for a recovering one if all others are full", "[slow_start]") {
    Recovering balancer({recovering(noon, serving("a")), serving("b"), serving("c")});
    balancer.activities.serve({0, 9, 0});
    for (int i = 0; i < 20; ++i) CHECK(balancer.ask(noon, Placement::rotation, 9) != 1);
    balancer.activities.serve({0, 9, 9});
    for (int i = 0; i < 20; ++i) CHECK(balancer.ask(noon, Placement::rotation, 9) == 0);
}

TEST_CASE("all processes together give a recovering worker its part", "[slow_start]") {
    constexpr int processes = 4;
    constexpr std::uint64_t each = 21'000 / tsan_divisor;
    const std::vector<Worker> workers{recovering(noon, serving("a")), serving("b"), serving("c")};
    const Activities activities(3);
    const SharedMemory memory(4 * sizeof(std::atomic<std::uint64_t>));
    auto* counts = static_cast<std::atomic<std::uint64_t>*>(memory.address());
    REQUIRE(in_processes(processes, [&](int) {
        Roster roster(activities.of(workers), in_a_minute);
        Tickets tickets(counts[3]);
        for (std::uint64_t i = 0; i < each; ++i) ++counts[roster.by_rotation(tickets, noon).value()];
    }));
    constexpr std::uint64_t all = processes * each;
    CHECK(counts[0] + counts[1] + counts[2] == all);
    const auto is_about = [](std::uint64_t count, std::uint64_t due) { return count + 1 >= due && count <= due + 1; };
    CHECK(is_about(counts[0], all / 21));
    CHECK(is_about(counts[1], all * 10 / 21));
    CHECK(is_about(counts[2], all * 10 / 21));
}

}  // namespace lbsticky
