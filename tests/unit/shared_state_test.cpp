#include "core/shared_state.hpp"

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

// A state and so many tallies, each in zeroed memory of its own.
class State {
public:
    explicit State(std::size_t workers)
        : memory_(sizeof(SharedState) + workers * sizeof(WorkerTally)), state_(SharedState::create(memory_.address())) {
        for (std::size_t i = 0; i < workers; ++i) tallies_.push_back(reinterpret_cast<WorkerTally*>(state_ + 1) + i);
    }
    SharedState* operator->() const noexcept { return state_; }
    WorkerTally& tally(std::size_t worker) const noexcept { return *tallies_[worker]; }
    void* address() const noexcept { return memory_.address(); }

    std::vector<std::uint64_t> totals() const {
        const auto totals = state_->totals(tallies_);
        return {totals.begin(), totals.end()};
    }

    std::uint64_t all_fresh() const { return state_->all_fresh(tallies_); }

    std::uint64_t count_of(std::size_t worker, Affinity affinity) const { return tally(worker).of(affinity); }

private:
    SharedMemory memory_;
    SharedState* state_;
    std::vector<WorkerTally*> tallies_;
};

constexpr Affinity all_affinities[] = {Affinity::cookie, Affinity::route,    Affinity::learned, Affinity::hash,
                                       Affinity::fresh,  Affinity::failover, Affinity::overload};
static_assert(std::size(all_affinities) == served_affinities);

}  // namespace

TEST_CASE("a new state has counted nothing", "[shared_state]") {
    const State state(3);
    CHECK(state->intact());
    CHECK(state->tickets == 0);
    CHECK(state->generation == 0);
    CHECK(state->counts[Count::refused] == 0);
    CHECK(state.totals() == std::vector<std::uint64_t>(affinities, 0));
    for (std::size_t worker = 0; worker < 3; ++worker) {
        CHECK(state.tally(worker).owner.number() == 0);
        for (const Affinity affinity : all_affinities) CHECK(state.count_of(worker, affinity) == 0);
    }
}

TEST_CASE("memory in which no state was created is not intact, nor is a damaged state", "[shared_state]") {
    const SharedMemory zeros(sizeof(SharedState));
    CHECK_FALSE(static_cast<const SharedState*>(zeros.address())->intact());

    const State state(1);
    auto* bytes = static_cast<unsigned char*>(state.address());
    for (std::size_t i = 0; i < 8; ++i) {
        bytes[i] ^= 0x10;
        CAPTURE(i);
        CHECK_FALSE(state->intact());
        bytes[i] ^= 0x10;
        CHECK(state->intact());
    }
}

TEST_CASE("what every request writes lies on a cache line of its own", "[shared_state]") {
    const State state(0);
    const auto line = [&state](const void* address) {
        return (static_cast<const unsigned char*>(address) - static_cast<const unsigned char*>(state.address())) / 64;
    };
    CHECK(line(&state->tickets) != line(&state->generation));
    CHECK(line(&state->tickets) != line(&state->counts[Count::refused]));
    CHECK(line(&state->counts[Count::refused]) != line(&state->generation));
    CHECK(alignof(WorkerTally) == 64);
}

TEST_CASE("a tally belongs to the first worker that claims it, for good", "[shared_state]") {
    const State state(1);
    CHECK(state.tally(0).owner.claim("http://a"));
    CHECK(state.tally(0).owner.claim("http://a"));
    CHECK_FALSE(state.tally(0).owner.claim("http://b"));
    CHECK(state.tally(0).owner.claim("http://a"));
    CHECK(state.tally(0).owner.number() == Owner::number_of("http://a"));
}

TEST_CASE("totals are the sums over all workers, and have those that are gone and what was refused", "[shared_state]") {
    const State state(3);
    std::uint64_t n = 1;
    for (std::size_t worker = 0; worker < 2; ++worker)
        for (const Affinity affinity : all_affinities) state.tally(worker).of(affinity) = n++;
    for (const Affinity affinity : all_affinities) state.tally(2).of(affinity) = n++;
    state->counts[Count::refused] = 1000;
    const std::vector<std::uint64_t> totals{1 + 8 + 15,  2 + 9 + 16,  3 + 10 + 17, 4 + 11 + 18,
                                            5 + 12 + 19, 6 + 13 + 20, 7 + 14 + 21, 1000};
    CHECK(state.totals() == totals);

    state->gone.add(state.tally(2));
    const std::array<WorkerTally*, 3> others{&state.tally(0), nullptr, &state.tally(1)};
    const auto same = state->totals(others);
    CHECK(std::vector<std::uint64_t>(same.begin(), same.end()) == totals);
}

TEST_CASE("a tally that is added to another is left as it was", "[shared_state]") {
    const State state(1);
    for (const Affinity affinity : all_affinities)
        state.tally(0).of(affinity) = 10 + static_cast<std::uint64_t>(affinity);
    state.tally(0).moved_away = 5;
    state.tally(0).unknown_routes = 7;
    for (std::uint64_t times = 1; times <= 2; ++times) {
        state->gone.add(state.tally(0));
        for (const Affinity affinity : all_affinities) {
            CHECK(state->gone.of(affinity) == times * (10 + static_cast<std::uint64_t>(affinity)));
            CHECK(state.count_of(0, affinity) == 10 + static_cast<std::uint64_t>(affinity));
        }
        CHECK(state->gone.moved_away == times * 5);
        CHECK(state->gone.unknown_routes == times * 7);
    }
}

TEST_CASE("each affinity is counted on its own", "[shared_state]") {
    const State state(1);
    state.tally(0).of(Affinity::route) += 2;
    state.tally(0).of(Affinity::failover) += 5;
    CHECK(state.totals() == std::vector<std::uint64_t>{0, 2, 0, 0, 0, 5, 0, 0});
}

TEST_CASE("the share of new sessions counts since the worker is what it is", "[shared_state]") {
    const State state(2);
    WorkerTally& one = state.tally(0);
    WorkerTally& two = state.tally(1);
    const auto share = [&](const WorkerTally& tally) {
        return std::pair(tally.requests[static_cast<std::size_t>(Affinity::fresh)] - tally.fresh_before,
                         state.all_fresh() - tally.all_fresh_before);
    };
    one.of(Affinity::fresh) = 10;
    two.of(Affinity::fresh) = 30;
    one.of(Affinity::route) = 1000;
    CHECK(share(one) == std::pair<std::uint64_t, std::uint64_t>(10, 40));
    one.count_from(777, state.all_fresh());
    CHECK(one.since == 777);
    CHECK(share(one) == std::pair<std::uint64_t, std::uint64_t>(0, 0));
    CHECK(share(two) == std::pair<std::uint64_t, std::uint64_t>(30, 40));
    one.of(Affinity::fresh) += 2;
    two.of(Affinity::fresh) += 6;
    CHECK(share(one) == std::pair<std::uint64_t, std::uint64_t>(2, 8));
    SECTION("which is said once") {
        one.count_from(777, state.all_fresh());
        CHECK(share(one) == std::pair<std::uint64_t, std::uint64_t>(2, 8));
    }
    SECTION("and anew when it becomes something else") {
        one.count_from(888, state.all_fresh());
        CHECK(share(one) == std::pair<std::uint64_t, std::uint64_t>(0, 0));
    }
}

TEST_CASE("of processes that say at once since when a share counts, one is heard", "[shared_state]") {
    const State state(1);
    for (std::uint64_t when = 1; when <= 200; ++when) {
        REQUIRE(in_processes(
            3, [&](int number) { state.tally(0).count_from(when, when * 10 + static_cast<std::uint64_t>(number)); }));
        CHECK(state.tally(0).since == when);
        CHECK(state.tally(0).all_fresh_before / 10 == when);
    }
}

TEST_CASE("nothing is lost when processes with threads count at once", "[shared_state]") {
    constexpr std::uint64_t times = 50'000 / tsan_divisor;
    const State state(2);
    const auto count = [&](std::size_t worker) {
        for (std::uint64_t i = 0; i < times; ++i) {
            ++state.tally(worker).of(Affinity::hash);
            ++state.tally(0).of(Affinity::fresh);
            ++state->generation;
        }
    };
    REQUIRE(in_processes(3, [&](int) {
        std::thread other(count, 1);
        count(0);
        other.join();
    }));
    CHECK(state.count_of(0, Affinity::hash) == 3 * times);
    CHECK(state.count_of(1, Affinity::hash) == 3 * times);
    CHECK(state.count_of(0, Affinity::fresh) == 6 * times);
    CHECK(state->generation == 6 * times);
    CHECK(state.totals() == std::vector<std::uint64_t>{0, 0, 0, 6 * times, 6 * times, 0, 0, 0});
}

TEST_CASE("of processes that claim one tally for different workers, one gets it", "[shared_state]") {
    const State state(1);
    const SharedMemory memory(sizeof(std::atomic<int>));
    auto& winners = *static_cast<std::atomic<int>*>(memory.address());
    REQUIRE(in_processes(8, [&](int number) {
        if (state.tally(0).owner.claim("http://" + std::to_string(number))) ++winners;
    }));
    CHECK(winners == 1);
}

TEST_CASE("requests without a session id are counted until one has it, and up to the number that is asked for",
          "[shared_state]") {
    SharedMemory memory(sizeof(SharedState));
    Notices& notices = SharedState::create(memory.address())->notices;
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
    SharedMemory memory(sizeof(SharedState));
    Notices& notices = SharedState::create(memory.address())->notices;
    for (int start = 0; start < 2; ++start) {
        CHECK(notices.is_first_told_of_absence());
        CHECK_FALSE(notices.is_first_told_of_absence());
        CHECK(notices.is_first_foreign_cookie());
        CHECK_FALSE(notices.is_first_foreign_cookie());
        notices.reset();
    }
}

}  // namespace lbsticky
