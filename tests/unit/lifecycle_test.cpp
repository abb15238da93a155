#include "core/lifecycle.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr Milliseconds noon = 1'800'000'000'000;

Status is(bool Status::*flag) {
    Status status;
    status.*flag = true;
    if (flag != &Status::draining && flag != &Status::standby && flag != &Status::spare) status.usable = false;
    return status;
}

// A worker's life, in memory that was zeros.
class Life {
    SharedMemory memory{sizeof(Lifecycle)};

public:
    Lifecycle& life = *static_cast<Lifecycle*>(memory.address());

    void see(const Status& status, Milliseconds now, std::uint16_t start = 0) {
        life.see([&] { return status; }, start, now);
    }
    void begin(const Status& status, Milliseconds now, Milliseconds since = 0, std::uint16_t start = 0) {
        life.begin(status, start, now, since);
    }
    Milliseconds draining() const { return life.draining_since(); }
    Milliseconds in_service() const { return life.in_service_since(); }
    Milliseconds since() const { return life.since(); }
};

const Status serves;

}  // namespace

TEST_CASE("nobody comes into service at the first start", "[lifecycle]") {
    Life worker;
    CHECK(worker.in_service() == 0);
    CHECK(worker.draining() == 0);
    worker.begin(serves, noon);
    worker.see(serves, noon + 1);
    CHECK(worker.in_service() == 0);
    CHECK(worker.draining() == 0);
}

TEST_CASE("since when a worker is what it is, is known of every state but that from the start", "[lifecycle]") {
    bool Status::*const flag =
        GENERATE(&Status::disabled, &Status::stopped, &Status::in_error, &Status::unhealthy, &Status::draining);
    Life worker;
    CHECK(worker.since() == 0);
    worker.begin(serves, noon);
    CHECK(worker.since() == 0);
    worker.see(is(flag), noon + 10);
    CHECK(worker.since() == noon + 10);
    worker.see(is(flag), noon + 20);
    CHECK(worker.since() == noon + 10);
    worker.see(serves, noon + 30);
    CHECK(worker.since() == noon + 30);
}

TEST_CASE("each way into service is one, and is none before it is over", "[lifecycle]") {
    bool Status::*const flag = GENERATE(&Status::draining, &Status::disabled, &Status::stopped, &Status::in_error,
                                        &Status::unhealthy, &Status::standby, &Status::spare);
    const bool from_the_start = GENERATE(true, false);
    Life worker;
    worker.begin(from_the_start ? is(flag) : serves, noon);
    worker.see(is(flag), noon + 10);
    CHECK(worker.in_service() == 0);
    worker.see(serves, noon + 20);
    CHECK(worker.in_service() == noon + 20);
    worker.see(serves, noon + 30);
    CHECK(worker.in_service() == noon + 20);
    SECTION("and each time another") {
        worker.see(is(flag), noon + 40);
        worker.see(serves, noon + 50);
        CHECK(worker.in_service() == noon + 50);
    }
}

TEST_CASE("who becomes a standby or a spare stays in service", "[lifecycle]") {
    Life worker;
    worker.begin(is(&Status::in_error), noon);
    worker.see(serves, noon + 10);
    worker.see(is(&Status::standby), noon + 20);
    CHECK(worker.in_service() == noon + 10);
    worker.see(is(&Status::spare), noon + 30);
    CHECK(worker.in_service() == noon + 30);  // a standby no more
}

TEST_CASE("who has several reasons to be out of service comes back with the last of them", "[lifecycle]") {
    Life worker;
    worker.begin(serves, noon);
    Status both = is(&Status::in_error);
    both.draining = true;
    worker.see(both, noon + 10);
    worker.see(is(&Status::in_error), noon + 20);
    CHECK(worker.in_service() == 0);
    worker.see(is(&Status::draining), noon + 30);
    CHECK(worker.in_service() == 0);
    worker.see(serves, noon + 40);
    CHECK(worker.in_service() == noon + 40);
}

TEST_CASE("a newcomer is one that is seen while the server runs", "[lifecycle]") {
    Life worker;
    worker.see(serves, noon);
    CHECK(worker.in_service() == noon);
    SECTION("or that a later start finds") {
        Life other;
        other.begin(serves, noon + 10, noon + 10, 1);
        CHECK(other.in_service() == noon + 10);
    }
}

TEST_CASE("the drain began when it was first seen, whatever else becomes of the worker meanwhile", "[lifecycle]") {
    Life worker;
    worker.begin(serves, noon);
    worker.see(is(&Status::draining), noon + 10);
    worker.see(is(&Status::draining), noon + 20);
    CHECK(worker.draining() == noon + 10);
    Status failing = is(&Status::in_error);
    failing.draining = true;
    worker.see(failing, noon + 30);
    worker.see(is(&Status::draining), noon + 40);
    CHECK(worker.draining() == noon + 10);
    SECTION("and is forgotten with its end") {
        worker.see(serves, noon + 50);
        CHECK(worker.draining() == 0);
        worker.see(is(&Status::draining), noon + 60);
        CHECK(worker.draining() == noon + 60);
    }
}

TEST_CASE("a restart changes nothing, but what the configuration changes", "[lifecycle]") {
    Life worker;
    worker.begin(is(&Status::disabled), noon);
    worker.see(serves, noon + 10);
    worker.begin(serves, noon + 20, noon + 20, 1);
    CHECK(worker.in_service() == noon + 10);
    worker.begin(is(&Status::draining), noon + 30, noon + 30, 2);
    CHECK(worker.draining() == noon + 30);
    worker.begin(is(&Status::draining), noon + 40, noon + 40, 3);
    CHECK(worker.draining() == noon + 30);
    worker.begin(serves, noon + 50, noon + 50, 4);
    CHECK(worker.in_service() == noon + 50);
}

TEST_CASE("those who still work by an older start change nothing", "[lifecycle]") {
    Life worker;
    worker.begin(serves, noon, 0, 65535);
    worker.see(is(&Status::draining), noon + 10, 65535);
    worker.begin(is(&Status::draining), noon + 20, noon + 20, 0);  // the number of starts has wrapped
    worker.see(serves, noon + 30, 65535);
    CHECK(worker.draining() == noon + 10);
    worker.see(serves, noon + 40, 0);
    CHECK(worker.in_service() == noon + 40);
    worker.see(is(&Status::draining), noon + 50, 65535);
    CHECK(worker.in_service() == noon + 40);
}

TEST_CASE("a status that another has seen change meanwhile is read again", "[lifecycle]") {
    Life worker;
    worker.begin(is(&Status::in_error), noon);
    int readings = 0;
    worker.life.see(
        [&] {
            // It comes back, is seen, and fails again, all between the reading of the word and of the status.
            if (++readings == 1) {
                worker.see(serves, noon + 10);
                return serves;
            }
            return is(&Status::in_error);
        },
        0, noon + 20);
    CHECK(readings == 2);
    CHECK(worker.in_service() == 0);
}

TEST_CASE("of processes that see a change at once, all agree on one time", "[lifecycle]") {
    for (int round = 0; round < 20; ++round) {
        Life worker;
        worker.begin(is(&Status::disabled), noon);
        const SharedMemory memory(8 * sizeof(Milliseconds));
        auto* seen = static_cast<Milliseconds*>(memory.address());
        REQUIRE(in_processes(8, [&](int number) {
            worker.see(serves, noon + 10 + static_cast<Milliseconds>(number));
            seen[number] = worker.in_service();
        }));
        for (int number = 1; number < 8; ++number) REQUIRE(seen[number] == seen[0]);
        REQUIRE(worker.in_service() == seen[0]);
        REQUIRE(seen[0] >= noon + 10);
    }
}

TEST_CASE("of what changes again and again while many look, nothing is noted that was not", "[lifecycle]") {
    // Times tell changes apart; two within a millisecond could be taken for none.
    Life worker;
    worker.begin(serves, noon);
    std::atomic<bool> is_draining{false}, is_over{false};
    std::atomic<Milliseconds> now{noon};
    std::vector<std::thread> lookers;
    for (int i = 0; i < 3; ++i)
        lookers.emplace_back([&] {
            while (!is_over) worker.life.see([&] { return is_draining ? is(&Status::draining) : serves; }, 0, now);
        });
    std::size_t wrong = 0;
    for (int round = 0; round < 2000; ++round) {
        ++now;
        is_draining = !is_draining;
        worker.see(is_draining ? is(&Status::draining) : serves, now);
        // A looker that read it before it changed finds that its word is no longer true, and reads again.
        wrong += (worker.draining() != 0) != is_draining;
    }
    is_over = true;
    for (auto& looker : lookers) looker.join();
    CHECK(wrong == 0);
}

}  // namespace lbsticky
