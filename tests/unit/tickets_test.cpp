#include <algorithm>
#include <atomic>
#include <thread>

#include "catch.hpp"
#include "core/rotation.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

// Shared by all processes: the next ticket, how often each worker was picked, how often each ticket was drawn.
struct Drawn {
    static constexpr std::size_t workers = 4;
    static constexpr std::size_t most_tickets = 1'000'000;

    std::atomic<std::uint64_t> next;
    std::atomic<std::uint64_t> picked[workers];
    std::atomic<std::uint8_t> times[most_tickets];
};

const std::vector<Worker> uneven = {serving("a", 100), serving("b", 500), serving("c", 133), serving("d", 250)};

void draw(Drawn& drawn, std::size_t count) {
    Roster roster(uneven);
    Tickets tickets(drawn.next);
    for (std::size_t i = 0; i < count; ++i) drawn.picked[*roster.by_rotation(tickets, 0)].fetch_add(1);
}

void draw_from_threads(Drawn& drawn, std::size_t threads, std::size_t count) {
    std::vector<std::thread> running;
    for (std::size_t i = 0; i < threads; ++i) running.emplace_back([&] { draw(drawn, count); });
    for (auto& thread : running) thread.join();
}

std::vector<std::uint64_t> as_vector(const Drawn& drawn) {
    return {drawn.picked[0].load(), drawn.picked[1].load(), drawn.picked[2].load(), drawn.picked[3].load()};
}

// How often one thread picks each worker with so many tickets.
std::vector<std::uint64_t> picked_by_one_thread(std::size_t count) {
    std::vector<std::uint64_t> picked(uneven.size(), 0);
    Roster roster(uneven);
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    for (std::size_t i = 0; i < count; ++i) ++picked[*roster.by_rotation(tickets, 0)];
    return picked;
}

// No count below is a multiple of the cycle of these weights, which is 983 picks.
constexpr std::size_t count = 100'001 / tsan_divisor;

}  // namespace

TEST_CASE("tickets are handed out from 0 on, each once", "[tickets]") {
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    Tickets the_same(next);
    CHECK(tickets.draw() == 0);
    CHECK(the_same.draw() == 1);
    CHECK(tickets.draw() == 2);
    CHECK(next == 3);
}

TEST_CASE("processes together choose exactly what one would have chosen alone", "[tickets]") {
    const SharedMemory memory(sizeof(Drawn));
    auto& drawn = *static_cast<Drawn*>(memory.address());
    REQUIRE(in_processes(5, [&](int) { draw(drawn, count); }));
    CHECK(drawn.next == 5 * count);
    CHECK(as_vector(drawn) == picked_by_one_thread(5 * count));
}

TEST_CASE("threads together choose exactly what one would have chosen alone", "[tickets]") {
    const SharedMemory memory(sizeof(Drawn));
    auto& drawn = *static_cast<Drawn*>(memory.address());
    draw_from_threads(drawn, 5, count);
    CHECK(drawn.next == 5 * count);
    CHECK(as_vector(drawn) == picked_by_one_thread(5 * count));
}

TEST_CASE("processes with threads choose exactly what one would have chosen alone", "[tickets]") {
    const SharedMemory memory(sizeof(Drawn));
    auto& drawn = *static_cast<Drawn*>(memory.address());
    REQUIRE(in_processes(4, [&](int) { draw_from_threads(drawn, 3, count / 2); }));
    CHECK(drawn.next == 12 * (count / 2));
    CHECK(as_vector(drawn) == picked_by_one_thread(12 * (count / 2)));
}

TEST_CASE("one rotation serves many threads at once", "[tickets]") {
    const Rotation rotation(std::vector<std::uint32_t>{100, 500, 133, 250});  // the weights of `uneven`
    std::atomic<std::uint64_t> next{0};
    std::vector<std::thread> running;
    std::atomic<std::uint64_t> of_b{0};
    for (int i = 0; i < 4; ++i) {
        running.emplace_back([&] {
            Tickets tickets(next);
            for (std::size_t pick = 0; pick < count; ++pick)
                if (rotation.pick(tickets.draw()) == 1) of_b.fetch_add(1);
        });
    }
    for (auto& thread : running) thread.join();
    CHECK(of_b == picked_by_one_thread(4 * count)[1]);
}

TEST_CASE("no ticket is drawn twice and none is left out, by processes with threads", "[tickets]") {
    const SharedMemory memory(sizeof(Drawn));
    auto& drawn = *static_cast<Drawn*>(memory.address());
    const auto mark = [&] {
        Tickets tickets(drawn.next);
        for (std::size_t i = 0; i < count / 2; ++i) drawn.times[tickets.draw()].fetch_add(1);
    };
    REQUIRE(in_processes(4, [&](int) {
        std::thread other(mark);
        mark();
        other.join();
    }));
    const std::size_t all = 8 * (count / 2);
    REQUIRE(all <= Drawn::most_tickets);
    CHECK(drawn.next == all);
    CHECK(std::all_of(drawn.times, drawn.times + all, [](const auto& times) { return times == 1; }));
}

}  // namespace lbsticky
