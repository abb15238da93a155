#include "core/activity.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "core/hash64.hpp"
#include "core/processes.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr std::uint32_t noon = 1'800'000'000;          // the first second of a slice of time
constexpr std::uint32_t slice = Activity::window / 2;  // two full ones and the current one count
static_assert(noon % slice == 0);

void see_sessions(Activity& activity, std::uint64_t first, std::uint64_t number, std::uint32_t now) {
    for (std::uint64_t n = first; n < first + number; ++n) activity.session_seen(mix64(n + 1), now);
}

}  // namespace

TEST_CASE("memory of zeros is a worker that does nothing and is nobody's", "[activity]") {
    const Activities memory(1, 100);
    Activity& activity = memory[0];
    CHECK(activity.owner().number() == 0);
    CHECK(activity.in_flight() == 0);
    CHECK(activity.sessions(noon) == 0);
    CHECK(activity.sessions_and_placed(noon) == 0);
    CHECK(activity.last_sticky() == 0);
}

TEST_CASE("an activity belongs to the first worker that claims it, for good", "[activity]") {
    const Activities memory(1);
    Activity& activity = memory[0];
    CHECK(activity.owner().claim("http://a"));
    CHECK(activity.owner().claim("http://a"));
    CHECK_FALSE(activity.owner().claim("http://b"));
    CHECK_FALSE(activity.owner().claim("http://a/"));
    CHECK(activity.owner().claim("http://a"));
    CHECK(activity.owner().number() == Owner::number_of("http://a"));
    CHECK(activity.owner().number() != Owner::number_of("http://b"));
}

TEST_CASE("of processes that claim one activity for different workers, one gets it", "[activity]") {
    const Activities memory(1);
    const SharedMemory counter(sizeof(std::atomic<int>));
    auto& winners = *static_cast<std::atomic<int>*>(counter.address());
    REQUIRE(in_processes(8, [&](int number) {
        if (memory[0].owner().claim("http://" + std::to_string(number))) ++winners;
    }));
    CHECK(winners == 1);
}

TEST_CASE("requests in flight are those of all columns", "[activity]") {
    const Activities memory(1, 4);
    Activity& activity = memory[0];
    activity.cell(0) += 3;
    CHECK(activity.in_flight() == 3);
    activity.cell(3) += 40;
    CHECK(activity.in_flight() == 43);
    activity.cell(1) += 500;
    CHECK(activity.in_flight() == 543);
    --activity.cell(3);
    CHECK(activity.in_flight() == 542);
    // Asking for a cell counts nothing, and the same cell is given again.
    CHECK(activity.cell(3) == 39);
    CHECK(&activity.cell(3) == &activity.cell(3));
    CHECK(activity.in_flight() == 542);
}

TEST_CASE("the sum may be more than a column can hold", "[activity]") {
    const Activities memory(1, 100);
    for (std::uint16_t column = 0; column < 100; ++column) memory[0].cell(column) = UINT16_MAX;
    CHECK(memory[0].in_flight() == 100U * UINT16_MAX);
}

TEST_CASE("a column in use makes those before it count, and none after it is forgotten", "[activity]") {
    const Activities memory(1, 50);
    Activity& activity = memory[0];
    for (std::uint16_t column = 50; column-- > 0;) ++activity.cell(column);
    CHECK(activity.in_flight() == 50);

    const Activities another(1, 50);
    for (std::uint16_t column = 0; column < 50; ++column) {
        ++another[0].cell(column);
        CHECK(another[0].in_flight() == column + 1U);
    }
}

TEST_CASE("what an ended process counted is forgotten, and nothing else", "[activity]") {
    const Activities memory(1, 3);
    Activity& activity = memory[0];
    activity.cell(0) = 1;
    activity.cell(1) = 20;
    activity.cell(2) = 300;
    activity.clear(1);
    CHECK(activity.in_flight() == 301);
    activity.clear(1);
    CHECK(activity.in_flight() == 301);
    activity.cell(1) = 4000;  // of the next process with that column
    CHECK(activity.in_flight() == 4301);
    activity.clear(2);
    activity.clear(0);
    CHECK(activity.in_flight() == 4000);
    activity.clear(1);
    CHECK(activity.in_flight() == 0);
}

TEST_CASE("a column that was never in use can be cleared", "[activity]") {
    const Activities memory(1, 3);
    memory[0].cell(0) = 1;
    memory[0].clear(2);
    CHECK(memory[0].in_flight() == 1);
}

TEST_CASE("activities lie behind each other on lines of their own, with cells enough", "[activity]") {
    CHECK(sizeof(Activity) % 64 == 0);
    CHECK(alignof(Activity) == 64);
    for (const std::size_t columns : {0U, 1U, 30U, 31U, 32U, 63U, 64U, 1000U}) {
        CAPTURE(columns);
        CHECK(Activity::bytes(columns) % 64 == 0);
        CHECK(Activity::bytes(columns) >= sizeof(Activity) + (1 + columns) * sizeof(Activity::Cell));
        CHECK(Activity::bytes(columns) < sizeof(Activity) + (1 + columns) * sizeof(Activity::Cell) + 64);
    }
    CHECK(Activity::bytes(31) == sizeof(Activity) + 64);
    CHECK(Activity::bytes(32) == sizeof(Activity) + 128);

    constexpr std::uint16_t columns = 31;
    const Activities memory(3, columns);
    const auto address = [](const void* of) { return reinterpret_cast<std::uintptr_t>(of); };
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(address(&memory[i]) % 64 == 0);
        const std::uintptr_t begin = address(&memory[i]) + sizeof(Activity);
        for (std::uint16_t column = 0; column < columns; ++column) {
            const std::uintptr_t cell = address(&memory[i].cell(column));
            CHECK(cell / 64 == begin / 64);
            CHECK(cell + sizeof(Activity::Cell) <= address(&memory[i]) + Activity::bytes(columns));
        }
    }
}

TEST_CASE("what one worker does is not counted for another", "[activity]") {
    const Activities memory(3, 31);
    for (std::uint16_t column = 0; column < 31; ++column) memory[1].cell(column) = UINT16_MAX;
    see_sessions(memory[1], 0, 5000, noon);
    memory[1].sticky_seen(UINT64_MAX);
    memory[1].owner().claim("http://b");
    for (const std::size_t i : {0U, 2U}) {
        CAPTURE(i);
        CHECK(memory[i].owner().number() == 0);
        CHECK(memory[i].in_flight() == 0);
        CHECK(memory[i].sessions(noon) == 0);
        CHECK(memory[i].last_sticky() == 0);
    }
    CHECK(memory[1].in_flight() == 31U * UINT16_MAX);
}

TEST_CASE("when all that processes with threads began has ended, nothing is in flight", "[activity]") {
    constexpr int processes = 4;
    constexpr std::uint32_t times = 20'000 / tsan_divisor;
    const Activities memory(2, processes);
    REQUIRE(in_processes(processes, [&](int number) {
        const auto column = static_cast<std::uint16_t>(number);
        const auto serve = [&] {
            for (std::uint32_t i = 0; i < times; ++i) {
                Activity& activity = memory[i % 2];
                activity.cell(column).fetch_add(1);
                const std::uint32_t seen = activity.in_flight();
                if (seen == 0 || seen > 2 * processes) _exit(1);
                activity.cell(column).fetch_sub(1);
            }
        };
        std::thread other(serve);
        serve();
        other.join();
    }));
    CHECK(memory[0].in_flight() == 0);
    CHECK(memory[1].in_flight() == 0);
}

TEST_CASE("no column is left out of the sum when two are taken at once", "[activity]") {
    constexpr std::size_t rounds = 4000;
    const Activities memory(rounds, 2);
    in_step(rounds,
            [&](std::size_t thread, std::size_t round) { ++memory[round].cell(static_cast<std::uint16_t>(thread)); });
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < rounds; ++i) wrong += memory[i].in_flight() != 2;
    CHECK(wrong == 0);
}

TEST_CASE("a process that is killed leaves exactly what others have in flight", "[activity]") {
    constexpr std::uint16_t columns = 4;
    const SharedMemory table_memory(Processes::bytes(columns));
    Processes& table = *Processes::create(table_memory.address(), columns);
    const Activities memory(2, columns);

    // Two processes with requests that are still served, before and behind the one that is killed.
    const auto begin = [&](std::int64_t process, std::uint16_t requests) {
        const auto column = table.claim(process);
        REQUIRE(column);
        memory[0].cell(*column) += requests;
    };
    begin(1'000'001, 5);
    const pid_t victim = fork();
    if (victim == 0) {
        const auto column = table.claim(getpid());
        if (!column) _exit(1);
        for (std::uint32_t i = 0;; ++i) {
            memory[i % 2].cell(*column) += 2;
            if (i == 1001) raise(SIGKILL);
            memory[i % 2].cell(*column) -= 1;
        }
    }
    REQUIRE(victim > 0);
    int status = 0;
    REQUIRE(waitpid(victim, &status, 0) == victim);
    REQUIRE(WIFSIGNALED(status));
    begin(1'000'002, 7);
    CHECK(memory[0].in_flight() == 5 + 501 + 7);
    CHECK(memory[1].in_flight() == 502);

    const auto column = table.column_of(victim);
    REQUIRE(column);
    for (const std::size_t i : {0U, 1U}) memory[i].clear(*column);
    table.release(*column);
    CHECK(memory[0].in_flight() == 12);
    CHECK(memory[1].in_flight() == 0);

    // The next process begins with nothing in flight, in the same column.
    begin(1'000'003, 1);
    CHECK(table.column_of(1'000'003) == column);
    CHECK(memory[0].in_flight() == 13);
}

TEST_CASE("sessions count for ten minutes after their last request, and at most fifteen", "[activity]") {
    const std::uint32_t second = GENERATE(0U, 1U, slice / 2, slice - 1);
    const Activities memory(1);
    const std::uint32_t then = noon + second;
    see_sessions(memory[0], 0, 1000, then);
    const std::uint32_t seen = memory[0].sessions(then);
    CHECK(seen >= 900);
    CHECK(seen <= 1100);
    CHECK(memory[0].sessions(then + Activity::window) == seen);
    CHECK(memory[0].sessions(noon + 3 * slice - 1) == seen);
    CHECK(memory[0].sessions(noon + 3 * slice) == 0);
    CHECK(memory[0].sessions(then + Activity::window + slice) == 0);
}

TEST_CASE("a session counts once, with any number of requests", "[activity]") {
    const Activities memory(1);
    for (std::uint32_t second = 0; second < 2 * slice; second += 10) see_sessions(memory[0], 0, 3, noon + second);
    CHECK(memory[0].sessions(noon + 2 * slice) == 3);
}

TEST_CASE("a choice has an estimate that is made anew at most once a second", "[activity]") {
    const Activities memory(1);
    Activity& activity = memory[0];
    see_sessions(activity, 0, 2, noon);
    CHECK(activity.sessions_and_placed(noon) == 2);
    see_sessions(activity, 2, 3, noon);
    CHECK(activity.sessions(noon) == 5);
    CHECK(activity.sessions_and_placed(noon) == 2);
    CHECK(activity.sessions_and_placed(noon + 1) == 5);
    see_sessions(activity, 5, 1, noon + 1);
    CHECK(activity.sessions_and_placed(noon + 1) == 5);
    CHECK(activity.sessions_and_placed(noon + 2) == 6);
    CHECK(activity.sessions_and_placed(noon + 4 * slice) == 0);
}

TEST_CASE("sessions that were placed are added until the next estimate, which has seen them", "[activity]") {
    const Activities memory(1);
    Activity& activity = memory[0];
    see_sessions(activity, 0, 2, noon);
    CHECK(activity.sessions_and_placed(noon) == 2);
    activity.session_placed();
    activity.session_placed();
    activity.session_placed();
    CHECK(activity.sessions_and_placed(noon) == 5);
    CHECK(activity.sessions(noon) == 2);
    see_sessions(activity, 2, 3, noon);
    CHECK(activity.sessions_and_placed(noon) == 5);
    CHECK(activity.sessions_and_placed(noon + 1) == 5);
}

TEST_CASE("a session that is placed before the first estimate disturbs nothing", "[activity]") {
    const Activities memory(1);
    memory[0].session_placed();
    see_sessions(memory[0], 0, 1, noon);
    CHECK(memory[0].sessions_and_placed(noon) == 1);
}

TEST_CASE("for a request that is a little late the estimate is new enough", "[activity]") {
    const Activities memory(1);
    Activity& activity = memory[0];
    see_sessions(activity, 0, 2, noon + 100);
    CHECK(activity.sessions_and_placed(noon + 100) == 2);
    see_sessions(activity, 2, 3, noon + 100);
    activity.session_placed();
    CHECK(activity.sessions_and_placed(noon + 99) == 3);
    CHECK(activity.sessions_and_placed(noon + 40) == 3);
    SECTION("but not when the clock was set back") {
        CHECK(activity.sessions_and_placed(noon + 39) == 5);
        see_sessions(activity, 5, 1, noon + 39);
        CHECK(activity.sessions_and_placed(noon + 39) == 5);
        CHECK(activity.sessions_and_placed(noon + 40) == 6);
    }
}

TEST_CASE("nothing is lost when processes place sessions at once", "[activity]") {
    constexpr std::uint32_t times = 10'000 / tsan_divisor;
    const Activities memory(1);
    CHECK(memory[0].sessions_and_placed(noon) == 0);
    REQUIRE(in_processes(4, [&](int) {
        for (std::uint32_t i = 0; i < times; ++i) {
            memory[0].session_placed();
            memory[0].sessions_and_placed(noon);
        }
    }));
    CHECK(memory[0].sessions_and_placed(noon) == 4 * times);
}

TEST_CASE("the time of the last sticky request is kept to a tenth of a second", "[activity]") {
    const Activities memory(1);
    memory[0].sticky_seen(1'800'000'000'123);
    CHECK(memory[0].last_sticky() == 1'800'000'000'123);
    memory[0].sticky_seen(1'800'000'000'199);
    CHECK(memory[0].last_sticky() == 1'800'000'000'123);
    memory[0].sticky_seen(1'800'000'000'200);
    CHECK(memory[0].last_sticky() == 1'800'000'000'200);
}

}  // namespace lbsticky
