#include "core/shared_state.hpp"

#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

// A state in zeroed memory of its own.
class State {
public:
    explicit State(std::size_t slots)
        : memory_(SharedState::bytes(slots)), state_(SharedState::create(memory_.address(), slots)) {}
    SharedState* operator->() const noexcept { return state_; }
    SharedState& operator*() const noexcept { return *state_; }
    void* address() const noexcept { return memory_.address(); }

private:
    SharedMemory memory_;
    SharedState* state_;
};

std::uint64_t count_of(const State& state, std::size_t slot, Affinity affinity) {
    return state->tally(slot)->of(affinity);
}

std::vector<std::uint64_t> totals_of(const State& state) {
    const auto totals = state->totals();
    return {totals.begin(), totals.end()};
}

constexpr Affinity all_affinities[] = {Affinity::cookie, Affinity::route,    Affinity::learned, Affinity::hash,
                                       Affinity::fresh,  Affinity::failover, Affinity::overload};
static_assert(std::size(all_affinities) == served_affinities);

}  // namespace

TEST_CASE("a new state has counted nothing", "[shared_state]") {
    const State state(3);
    CHECK(state->intact(3));
    CHECK(state->tickets() == 0);
    CHECK(state->generation() == 0);
    CHECK(state->refused() == 0);
    CHECK(totals_of(state) == std::vector<std::uint64_t>(affinities, 0));
    for (std::size_t slot = 0; slot < 3; ++slot)
        for (const Affinity affinity : all_affinities) CHECK(count_of(state, slot, affinity) == 0);
}

TEST_CASE("a state may have no slots", "[shared_state]") {
    const State state(0);
    CHECK(state->intact(0));
    CHECK(state->tally(0) == nullptr);
    CHECK_FALSE(state->claim(0, "http://a"));
    CHECK(totals_of(state) == std::vector<std::uint64_t>(affinities, 0));
}

TEST_CASE("memory in which no state was created is not intact, nor is a damaged state", "[shared_state]") {
    const SharedMemory zeros(SharedState::bytes(1));
    CHECK_FALSE(static_cast<const SharedState*>(zeros.address())->intact(1));
    CHECK_FALSE(static_cast<const SharedState*>(zeros.address())->intact(0));

    const State state(1);
    auto* bytes = static_cast<unsigned char*>(state.address());
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[i] ^= 0x10;
        CAPTURE(i);
        CHECK_FALSE(state->intact(1));
        bytes[i] ^= 0x10;
        CHECK(state->intact(1));
    }
    CHECK_FALSE(state->intact(0));
    CHECK_FALSE(state->intact(2));
}

TEST_CASE("counters lie within the bytes asked for, each worker's on a cache line of its own", "[shared_state]") {
    constexpr std::size_t slots = 5;
    const State state(slots);
    const auto* begin = static_cast<const unsigned char*>(state.address());
    for (std::size_t slot = 0; slot < slots; ++slot) {
        const auto* tally = reinterpret_cast<const unsigned char*>(state->tally(slot));
        CHECK((tally - begin) % 64 == 0);
        CHECK(tally >= begin + sizeof(SharedState));
        CHECK(tally + sizeof(WorkerTally) <= begin + SharedState::bytes(slots));
        if (slot > 0) CHECK(tally - reinterpret_cast<const unsigned char*>(state->tally(slot - 1)) == 128);
    }
    const auto line = [begin](const void* address) {
        return (static_cast<const unsigned char*>(address) - begin) / 64;
    };
    CHECK(line(&state->tickets()) != line(&state->generation()));
    CHECK(line(&state->tickets()) != line(&state->refused()));
    CHECK(line(&state->refused()) != line(&state->generation()));
    CHECK(line(&state->unknown_routes()) != line(&state->tickets()));
    CHECK(line(&state->unknown_routes()) != line(&state->refused()));
}

TEST_CASE("there is no tally for a slot that is not there", "[shared_state]") {
    const State state(2);
    CHECK(state->tally(0) != nullptr);
    CHECK(state->tally(1) != nullptr);
    CHECK(state->tally(2) == nullptr);
    CHECK(state->tally(~std::size_t{0}) == nullptr);
}

TEST_CASE("a slot belongs to the first worker that claims it, for good", "[shared_state]") {
    const State state(2);
    CHECK(state->claim(0, "http://a"));
    CHECK(state->claim(0, "http://a"));
    CHECK_FALSE(state->claim(0, "http://b"));
    CHECK(state->claim(1, "http://b"));
    CHECK(state->claim(0, "http://a"));
    CHECK_FALSE(state->claim(2, "http://c"));
    CHECK_FALSE(state->claim(~std::size_t{0}, "http://c"));
}

TEST_CASE("totals are the sums over all workers, and have what was refused", "[shared_state]") {
    const State state(3);
    std::uint64_t n = 1;
    for (std::size_t slot = 0; slot < 3; ++slot)
        for (const Affinity affinity : all_affinities) state->tally(slot)->of(affinity) = n++;
    state->refused() = 1000;
    CHECK(totals_of(state) == std::vector<std::uint64_t>{1 + 8 + 15, 2 + 9 + 16, 3 + 10 + 17, 4 + 11 + 18, 5 + 12 + 19,
                                                         6 + 13 + 20, 7 + 14 + 21, 1000});
}

TEST_CASE("each affinity is counted on its own", "[shared_state]") {
    const State state(1);
    state->tally(0)->of(Affinity::route) += 2;
    state->tally(0)->of(Affinity::failover) += 5;
    CHECK(totals_of(state) == std::vector<std::uint64_t>{0, 2, 0, 0, 0, 5, 0, 0});
}

TEST_CASE("a state that replaces another takes over rotation and counts", "[shared_state]") {
    const State old(3);
    REQUIRE(old->claim(0, "http://a"));
    REQUIRE(old->claim(1, "http://b"));
    REQUIRE(old->claim(2, "http://gone"));
    old->tickets() = 12345;
    old->refused() = 6;
    for (const Affinity affinity : all_affinities) {
        old->tally(0)->of(affinity) = 10 + static_cast<std::uint64_t>(affinity);
        old->tally(1)->of(affinity) = 20 + static_cast<std::uint64_t>(affinity);
        old->tally(2)->of(affinity) = 30;
    }
    for (std::size_t slot = 0; slot < 3; ++slot) old->tally(slot)->moved_away = 100 + slot;
    old->cookies_issued() = 7;
    old->cookies_unknown() = 8;
    old->cookies_outdated() = 9;
    old->tickets_without_session() = 10;
    old->unknown_routes() = 9;

    SECTION("for each worker, in whatever slot it is now") {
        const State now(5);
        REQUIRE(now->claim(0, "http://new"));
        REQUIRE(now->claim(1, "http://a"));
        REQUIRE(now->claim(4, "http://b"));
        now->inherit(*old);
        CHECK(now->tickets() == 12345);
        CHECK(now->refused() == 6);
        CHECK(now->cookies_issued() == 7);
        CHECK(now->cookies_unknown() == 8);
        CHECK(now->cookies_outdated() == 9);
        CHECK(now->tickets_without_session() == 10);
        CHECK(now->unknown_routes() == 9);
        CHECK(now->tally(1)->moved_away == 100);
        CHECK(now->tally(4)->moved_away == 101);
        CHECK(now->gone().moved_away == 102);
        CHECK(now->gone().requests[0] == 30);
        for (const Affinity affinity : all_affinities) {
            CHECK(count_of(now, 0, affinity) == 0);
            CHECK(count_of(now, 1, affinity) == 10 + static_cast<std::uint64_t>(affinity));
            CHECK(count_of(now, 2, affinity) == 0);
            CHECK(count_of(now, 3, affinity) == 0);
            CHECK(count_of(now, 4, affinity) == 20 + static_cast<std::uint64_t>(affinity));
        }
        CHECK(now->claim(2, "http://gone"));
        CHECK(count_of(now, 2, Affinity::route) == 0);
    }
    SECTION("when there are fewer slots than before") {
        const State now(1);
        REQUIRE(now->claim(0, "http://b"));
        now->inherit(*old);
        CHECK(now->tickets() == 12345);
        CHECK(count_of(now, 0, Affinity::route) == 21);
    }
    SECTION("and the old one, which children may still use, is left as it was") {
        const State now(3);
        REQUIRE(now->claim(0, "http://b"));
        now->inherit(*old);
        ++now->tally(0)->of(Affinity::route);
        ++now->tickets();
        CHECK(old->intact(3));
        CHECK(old->tickets() == 12345);
        CHECK(count_of(old, 0, Affinity::route) == 11);
        CHECK(count_of(old, 1, Affinity::route) == 21);
    }
    SECTION("and the totals stay the same, with those of workers that are gone") {
        const State now(2);
        REQUIRE(now->claim(1, "http://a"));
        now->inherit(*old);
        CHECK(totals_of(now) == totals_of(old));
        const State later(1);
        REQUIRE(later->claim(0, "http://b"));
        later->inherit(*now);
        CHECK(totals_of(later) == totals_of(old));
        CHECK(count_of(later, 0, Affinity::route) == 0);
    }
    SECTION("but no worker gets the counts of a slot that none had claimed") {
        const State unclaimed(2);
        unclaimed->tally(0)->of(Affinity::route) = 7;
        const State now(2);
        now->inherit(*unclaimed);
        CHECK(totals_of(now)[static_cast<std::size_t>(Affinity::route)] == 7);
        CHECK(count_of(now, 0, Affinity::route) == 0);
        CHECK(count_of(now, 1, Affinity::route) == 0);
    }
}

TEST_CASE("nothing is lost when processes with threads count at once", "[shared_state]") {
    constexpr std::uint64_t times = 50'000 / tsan_divisor;
    const State state(2);
    const auto count = [&](std::size_t slot) {
        for (std::uint64_t i = 0; i < times; ++i) {
            ++state->tally(slot)->of(Affinity::hash);
            ++state->tally(0)->of(Affinity::fresh);
            ++state->generation();
        }
    };
    REQUIRE(in_processes(3, [&](int) {
        std::thread other(count, 1);
        count(0);
        other.join();
    }));
    CHECK(count_of(state, 0, Affinity::hash) == 3 * times);
    CHECK(count_of(state, 1, Affinity::hash) == 3 * times);
    CHECK(count_of(state, 0, Affinity::fresh) == 6 * times);
    CHECK(state->generation() == 6 * times);
    CHECK(totals_of(state) == std::vector<std::uint64_t>{0, 0, 0, 6 * times, 6 * times, 0, 0, 0});
}

TEST_CASE("of processes that claim one slot for different workers, one gets it", "[shared_state]") {
    const State state(1);
    const SharedMemory memory(sizeof(std::atomic<int>));
    auto& winners = *static_cast<std::atomic<int>*>(memory.address());
    REQUIRE(in_processes(8, [&](int number) {
        if (state->claim(0, "http://" + std::to_string(number))) ++winners;
    }));
    CHECK(winners == 1);
}

TEST_CASE("requests without a session id are counted until one has it, and up to the number that is asked for",
          "[shared_state]") {
    SharedMemory memory(SharedState::bytes(1));
    Notices& notices = SharedState::create(memory.address(), 1)->notices();
    CHECK(notices.without_session(3) == 1);
    CHECK(notices.without_session(3) == 2);
    CHECK(notices.without_session(3) == 3);
    CHECK(notices.without_session(3) == 0);
    notices.reset();
    CHECK(notices.without_session(3) == 1);
    notices.session_seen();
    CHECK(notices.without_session(3) == 0);
    notices.reset();
    CHECK(notices.without_session(3) == 1);
}

TEST_CASE("what is noticed once is noticed again after a start", "[shared_state]") {
    SharedMemory memory(SharedState::bytes(1));
    Notices& notices = SharedState::create(memory.address(), 1)->notices();
    for (int start = 0; start < 2; ++start) {
        CHECK(notices.is_first_told_of_absence());
        CHECK_FALSE(notices.is_first_told_of_absence());
        CHECK(notices.is_first_foreign_cookie());
        CHECK_FALSE(notices.is_first_foreign_cookie());
        notices.reset();
    }
}

}  // namespace lbsticky
