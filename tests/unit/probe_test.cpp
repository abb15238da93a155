#include "core/probe.hpp"

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/affinity.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr Milliseconds noon = 1'800'000'000'000;

// A probe in memory that was zeros.
struct Memory {
    SharedMemory memory{sizeof(Probe)};
    Probe& probe = *static_cast<Probe*>(memory.address());
};

// A balancer with workers that are due.
struct Due {
    explicit Due(const std::vector<Worker>& workers, const std::vector<std::size_t>& due = {}) : roster(workers) {
        rules.names = names;
        for (const std::size_t worker : due) roster.set_due(worker);
    }

    std::string ask(std::string_view cookies) {
        const Claims claims = read_claims({cookies, "/", {}, "192.0.2.1"}, rules);
        Tickets tickets(next);
        const Choice choice = choose(claims, rules, roster, tickets);
        return (choice.worker ? roster.workers()[*choice.worker].route : "nobody") + " " + word_for(choice.affinity);
    }

    static constexpr SessionName names[] = {{"sid", "sid"}};
    Rules rules;
    Roster roster;
    std::atomic<std::uint64_t> next{0};
};

const Worker a = failing(serving("a")), b = serving("b"), c = serving("c");

}  // namespace

TEST_CASE("one trial is under way at a time", "[probe]") {
    Memory memory;
    Probe& probe = memory.probe;
    CHECK_FALSE(probe.is_under_way());
    const std::uint64_t ticket = probe.begin(3, noon, 5000, false);
    CHECK(ticket != 0);
    CHECK(probe.is_under_way());
    CHECK(probe.begin(3, noon + 1, 5000, false) == 0);
    CHECK(probe.end(ticket));
    CHECK_FALSE(probe.is_under_way());
    CHECK(probe.begin(3, noon + 2, 5000, false) != 0);
}

TEST_CASE("a trial is overdue when its time is over, and is under way until somebody ends it", "[probe]") {
    Memory memory;
    Probe& probe = memory.probe;
    CHECK(probe.overdue(noon) == 0);
    const std::uint64_t ticket = probe.begin(3, noon, 5000, false);
    CHECK(probe.overdue(noon) == 0);
    CHECK(probe.overdue(noon + 4999) == 0);
    CHECK(probe.overdue(noon + 5000) == ticket);
    CHECK(probe.overdue(noon + 50'000) == ticket);
    CHECK(probe.is_under_way());
    CHECK(probe.begin(3, noon + 50'000, 5000, false) == 0);
    CHECK(probe.end(ticket));
    CHECK(probe.overdue(noon + 50'000) == 0);
}

TEST_CASE("who comes late ends no trial but its own", "[probe]") {
    Memory memory;
    Probe& probe = memory.probe;
    const std::uint64_t first = probe.begin(3, noon, 5000, false);
    CHECK(probe.end(first));
    CHECK_FALSE(probe.end(first));
    const std::uint64_t second = probe.begin(3, noon + 6000, 5000, false);
    CHECK_FALSE(probe.end(first));
    CHECK(probe.is_under_way());
    CHECK(probe.end(second));
}

TEST_CASE("an answer that comes while a trial is failing ends it, and who made it fail learns of that", "[probe]") {
    Memory memory;
    Probe& probe = memory.probe;
    const std::uint64_t ticket = probe.begin(3, noon, 5000, false);
    CHECK(probe.begin_failure(ticket));
    CHECK(probe.is_under_way());
    CHECK_FALSE(probe.begin_failure(ticket));
    CHECK(probe.end(ticket));  // by the answer
    CHECK_FALSE(probe.end(ticket));
    CHECK_FALSE(probe.begin_failure(ticket));
    CHECK(probe.begin(3, noon, 5000, false) != 0);
}

TEST_CASE("a failure that nobody ends is overdue a second later, for anybody to end", "[probe]") {
    Memory memory;
    Probe& probe = memory.probe;
    CHECK(probe.begin_failure(probe.begin(3, noon, 5000, false)));
    CHECK(probe.overdue(noon + 5999) == 0);
    const std::uint64_t ticket = probe.overdue(noon + 6000);
    CHECK(probe.begin_failure(ticket));
    CHECK(probe.end(ticket));
    CHECK_FALSE(probe.is_under_way());
}

TEST_CASE("a start of the server forgets a trial, and whose it was ends no other", "[probe]") {
    Memory memory;
    Probe& probe = memory.probe;
    const std::uint64_t before = probe.begin(3, noon, 5000, false);
    CHECK(Probe::start_of(before) == 3);
    probe.forget();
    CHECK_FALSE(probe.is_under_way());
    const std::uint64_t ticket = probe.begin(4, noon, 5000, false);
    CHECK(ticket != before);
    CHECK_FALSE(probe.end(before));
    CHECK_FALSE(probe.begin_failure(before));
    CHECK(probe.is_under_way());
}

TEST_CASE("a ticket tells whether its trial is patient", "[probe]") {
    Memory memory;
    const bool is_patient = GENERATE(true, false);
    const std::uint64_t ticket = memory.probe.begin(3, noon, 5000, is_patient);
    CHECK(Probe::is_patient(ticket) == is_patient);
    CHECK(memory.probe.overdue(noon + 4999) == 0);
    CHECK(memory.probe.overdue(noon + 5000) == ticket);
}

TEST_CASE("of processes that begin a trial at once, one does", "[probe]") {
    const SharedMemory counter(sizeof(std::atomic<int>));
    auto& winners = *static_cast<std::atomic<int>*>(counter.address());
    for (int round = 1; round <= 10; ++round) {
        Memory memory;
        REQUIRE(in_processes(8, [&](int number) {
            if (memory.probe.begin(3, noon + static_cast<Milliseconds>(number), 5000, false) != 0) ++winners;
        }));
        REQUIRE(winners == round);
    }
}

// What a request does with workers that are due.

TEST_CASE("a session tries its worker that is due, and nobody else's", "[probe]") {
    Due balancer({a, b, c}, {0});
    CHECK(balancer.ask("sid=1.a") == "a route");
    CHECK(balancer.ask("sid=1.b") == "b route");
    CHECK(balancer.ask("sid=1.c") == "c route");
    CHECK(balancer.next == 0);
    SECTION("as long as it is due") {
        balancer.roster.unset_due(0);
        CHECK(balancer.ask("sid=1.a") == holder_of("1", {b, c}) + " failover");
    }
}

TEST_CASE("a new session tries a worker that is due, and takes nobody's turn for it", "[probe]") {
    Due balancer({a, b, c}, {0});
    CHECK(balancer.ask("") == "a new");
    CHECK(balancer.next == 0);
    balancer.roster.unset_due(0);
    CHECK(balancer.ask("") == "b new");
    CHECK(balancer.ask("") == "c new");
    CHECK(balancer.next == 2);
}

TEST_CASE("a new session tries only those that would be eligible", "[probe]") {
    const Worker others = GENERATE(draining(a), standby(a), in_set(1, a));
    Due balancer({others, b, c}, {0});
    CHECK(balancer.ask("") == "b new");
    CHECK(balancer.ask("sid=1.a") == "a route");
    SECTION("of a lower set, if all there are in error") {
        Due lower({a, in_set(1, b)}, {0});
        CHECK(lower.ask("") == "a new");
    }
}

TEST_CASE("a hashed session tries the worker that it belongs to, if that is due", "[probe]") {
    Due balancer({a, b, c}, {0});
    std::size_t tried = 0;
    for (std::uint64_t n = 0; n < 60; ++n) {
        const std::string id = session_id(n);
        const std::string home = holder_of(id, {serving("a"), b, c});
        tried += home == "a";
        REQUIRE(balancer.ask("sid=" + id) == home + " hash");
    }
    CHECK(tried > 0);
}

TEST_CASE("several workers may be due, and each is until it is tried", "[probe]") {
    Due balancer({a, failing(b), c}, {1, 0});
    CHECK(balancer.ask("sid=1.a") == "a route");
    CHECK(balancer.ask("sid=1.b") == "b route");
    CHECK(balancer.ask("") == "a new");
    balancer.roster.unset_due(0);
    CHECK(balancer.roster.is_due(1));
    CHECK(balancer.ask("") == "b new");
    balancer.roster.set_due(1);  // again
    balancer.roster.unset_due(1);
    CHECK_FALSE(balancer.roster.is_due(1));
    CHECK(balancer.ask("") == "c new");
    balancer.roster.unset_due(1);
    balancer.roster.set_due(0);
    balancer.roster.unset_all_due();
    CHECK(balancer.ask("") == "c new");
}

TEST_CASE("with nofailover a session tries its worker that is due, else it is refused", "[probe]") {
    Due balancer({a, b}, {0});
    balancer.rules.nofailover = true;
    CHECK(balancer.ask("sid=1.a") == "a route");
    balancer.roster.unset_all_due();
    CHECK(balancer.ask("sid=1.a") == "nobody refused");
}

}  // namespace lbsticky
