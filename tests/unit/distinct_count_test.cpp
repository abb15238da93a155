#include "core/distinct_count.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "core/hash64.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

// Different for all n, and for all seeds.
std::uint64_t hash_of(std::uint64_t seed, std::uint64_t n) {
    return mix64(seed << 32 | n);
}

// A hash that has this rank, from 1 to 15, in this register.
constexpr std::uint64_t registers = 1344;
std::uint64_t hash_for(std::uint64_t index, unsigned rank) {
    return ((index << 32) / registers + 1) << 32 | std::uint64_t{1} << (rank - 1);
}

// Adds what is left in a sketch of so many different hashes: the largest of the ranks that a register got, which is
// at most k with a probability of exp(-number / registers / 2^k).
void add_by_register(DistinctCount& count, double number, Numbers& numbers) {
    for (std::uint64_t index = 0; index < registers; ++index) {
        const double chance = (numbers.next(1, 1'000'000'000) - 0.5) / 1e9;
        unsigned rank = 0;
        while (rank < 15 && std::exp(-number / registers / std::exp2(rank)) < chance) ++rank;
        if (rank > 0) count.add(hash_for(index, rank), 1);
    }
}

// Adds so many different hashes, from number `first` on.
void add(DistinctCount& count, std::uint32_t slice, std::uint64_t first, std::uint64_t number, std::uint64_t seed = 1) {
    for (std::uint64_t n = first; n < first + number; ++n) count.add(hash_of(seed, n), slice);
}

// Within 10%.
bool is_about(double estimate, double truth) {
    return std::abs(estimate - truth) <= truth / 10;
}

// Relative errors of the estimate with many seeds.
struct Errors {
    double mean = 0;           // which way they tend
    double mean_distance = 0;  // from 0
    double worst = 0;
};

Errors errors_of(std::uint64_t number, std::uint64_t seeds) {
    Errors errors;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        DistinctCount count{};
        add(count, 1, 0, number, seed);
        const double error = count.estimate(1) / static_cast<double>(number) - 1;
        errors.mean += error / static_cast<double>(seeds);
        errors.mean_distance += std::abs(error) / static_cast<double>(seeds);
        errors.worst = std::max(errors.worst, std::abs(error));
    }
    return errors;
}

}  // namespace

TEST_CASE("an estimate is within 10 % from 100 to a million, and tends to neither side", "[distinct_count]") {
    for (const std::uint64_t number : {100U, 300U, 1'000U, 3'000U, 10'000U, 30'000U, 100'000U, 1'000'000U}) {
        const Errors errors = errors_of(number, 100 / tsan_divisor);
        CAPTURE(number, errors.mean, errors.mean_distance, errors.worst);
        CHECK(std::abs(errors.mean) < (tsan_divisor == 1 ? 0.01 : 0.02));
        CHECK(errors.mean_distance < 0.03);
        CHECK(errors.worst < 0.1);
    }
}

TEST_CASE("an estimate is good up to 20 million, and falls behind above", "[distinct_count]") {
    for (const double number : {1e6, 1e7, 2e7}) {
        Numbers numbers(1);
        double mean = 0;
        double worst = 0;
        for (int i = 0; i < 100; ++i) {
            DistinctCount count{};
            add_by_register(count, number, numbers);
            const double error = count.estimate(1) / number - 1;
            mean += error / 100;
            worst = std::max(worst, std::abs(error));
        }
        CAPTURE(number, mean, worst);
        CHECK(std::abs(mean) < 0.015);
        CHECK(worst < 0.12);
    }
    DistinctCount full{};
    for (std::uint64_t index = 0; index < registers; ++index) full.add(hash_for(index, 15), 1);
    CHECK(full.estimate(1) > 20e6);
}

TEST_CASE("what is numbered and hashed like a session id is counted as well", "[distinct_count]") {
    DistinctCount count{};
    for (std::uint64_t n = 0; n < 10'000; ++n) count.add(hash64(session_id(n)), 1);
    CHECK(is_about(count.estimate(1), 10'000));
}

TEST_CASE("if nothing was seen the estimate is exactly 0", "[distinct_count]") {
    const DistinctCount count{};
    for (const std::uint32_t slice : {1U, 2U, 3U, 4U, 1000U, 6'000'000U}) CHECK(count.estimate(slice) == 0);
}

TEST_CASE("one is exactly one, and a few are exact but for one time in a hundred", "[distinct_count]") {
    for (std::uint64_t number = 1; number <= 5; ++number) {
        int exact = 0;
        for (std::uint64_t seed = 1; seed <= 200; ++seed) {
            DistinctCount count{};
            add(count, 1, 0, number, seed);
            exact += std::lround(count.estimate(1)) == static_cast<long>(number);
        }
        CAPTURE(number);
        CHECK(exact >= (number == 1 ? 200 : 198));
    }
}

TEST_CASE("any hash counts as one", "[distinct_count]") {
    for (unsigned bit = 0; bit <= 64; ++bit) {
        for (const bool inverted : {false, true}) {
            const std::uint64_t hash = bit == 64 ? 0 : std::uint64_t{1} << bit;
            DistinctCount count{};
            count.add(inverted ? ~hash : hash, 1);
            CAPTURE(bit, inverted);
            CHECK(std::lround(count.estimate(1)) == 1);
        }
    }
}

TEST_CASE("what was seen before does not count again, in whatever order it comes", "[distinct_count]") {
    DistinctCount count{};
    add(count, 1, 0, 1000);
    const double before = count.estimate(1);
    add(count, 1, 500, 500);
    for (std::uint64_t n = 1000; n-- > 0;) count.add(hash_of(1, n), 1);
    CHECK(count.estimate(1) == before);

    DistinctCount backwards{};
    for (std::uint64_t n = 1000; n-- > 0;) backwards.add(hash_of(1, n), 1);
    CHECK(backwards.estimate(1) == before);
}

TEST_CASE("one more never makes the estimate less", "[distinct_count]") {
    DistinctCount count{};
    double last = 0;
    std::size_t fell = 0;
    for (std::uint64_t n = 0; n < 5'000; ++n) {
        count.add(hash_of(1, n), 1);
        const double now = count.estimate(1);
        fell += now < last;
        last = now;
    }
    CHECK(fell == 0);
}

TEST_CASE("what was seen counts for three slices and is gone after", "[distinct_count]") {
    for (std::uint32_t slice = 1; slice <= 4; ++slice) {
        DistinctCount count{};
        add(count, slice, 0, 100);
        const double seen = count.estimate(slice);
        CAPTURE(slice);
        CHECK(is_about(seen, 100));
        CHECK(count.estimate(slice + 1) == seen);
        CHECK(count.estimate(slice + 2) == seen);
        CHECK(count.estimate(slice + 3) == 0);
        CHECK(count.estimate(slice + 4) == 0);
    }
}

TEST_CASE("what comes in every slice counts once, what comes in one as well", "[distinct_count]") {
    DistinctCount same{};
    add(same, 10, 0, 1000);
    const double once = same.estimate(10);
    add(same, 11, 0, 1000);
    add(same, 12, 0, 1000);
    CHECK(same.estimate(12) == once);

    DistinctCount different{};
    DistinctCount at_once{};
    for (std::uint32_t slice = 10; slice <= 12; ++slice) add(different, slice, slice * 1000, 1000);
    add(at_once, 12, 10'000, 3000);
    CHECK(different.estimate(12) == at_once.estimate(12));
    CHECK(is_about(different.estimate(12), 3000));
}

TEST_CASE("who keeps coming counts on, who stays away does not", "[distinct_count]") {
    DistinctCount count{};
    add(count, 10, 0, 1000);
    for (std::uint32_t slice = 11; slice <= 20; ++slice) add(count, slice, 0, 100);
    DistinctCount stayed{};
    add(stayed, 20, 0, 100);
    CHECK(count.estimate(20) == stayed.estimate(20));
}

TEST_CASE("the ring is used again and again, and holds nothing from before", "[distinct_count]") {
    DistinctCount count{};
    std::size_t different = 0;
    for (std::uint32_t slice = 1; slice <= 40; ++slice) {
        // Of many and few by turns, so that what is left over would show.
        const auto number = [](std::uint32_t s) { return s % 4 == 0 ? 2000U : 20U; };
        add(count, slice, std::uint64_t{slice} * 10'000, number(slice));
        DistinctCount expected{};
        for (std::uint32_t s = slice > 2 ? slice - 2 : 1; s <= slice; ++s)
            add(expected, slice, std::uint64_t{s} * 10'000, number(s));
        different += count.estimate(slice) != expected.estimate(slice);
    }
    CHECK(different == 0);
}

TEST_CASE("a request that is late counts, and leaves those of the next slice", "[distinct_count]") {
    const std::uint32_t late = GENERATE(1U, 2U);
    DistinctCount count{};
    add(count, 20, 0, 100);
    const double on_time = count.estimate(20);
    add(count, 20 - late, 1000, 100);
    CHECK(count.estimate(20) > on_time + 80);
    CHECK(count.estimate(20 + 2 - late) > on_time + 80);
    CHECK(count.estimate(20 + 3 - late) == on_time);  // now the late ones are too old
    CHECK(count.estimate(22) == on_time);
    CHECK(count.estimate(23) == 0);
}

TEST_CASE("who asks a little late is told what has come since", "[distinct_count]") {
    DistinctCount count{};
    add(count, 20, 0, 100);
    const double seen = count.estimate(20);
    CHECK(seen > 80);
    CHECK(count.estimate(19) == seen);
    CHECK(count.estimate(18) == seen);
    CHECK(count.estimate(17) == 0);
}

TEST_CASE("after slices in which nothing came only what is new counts", "[distinct_count]") {
    for (std::uint32_t gap = 3; gap <= 12; ++gap) {
        DistinctCount count{};
        for (std::uint32_t slice = 8; slice <= 10; ++slice) add(count, slice, 0, 3000);
        CAPTURE(gap);
        CHECK(count.estimate(10 + gap) == 0);
        add(count, 10 + gap, 5000, 10);
        DistinctCount fresh{};
        add(fresh, 10 + gap, 5000, 10);
        CHECK(count.estimate(10 + gap) == fresh.estimate(10 + gap));
    }
}

TEST_CASE("a slice or two without requests leave what still counts", "[distinct_count]") {
    DistinctCount count{};
    add(count, 10, 0, 100);
    add(count, 12, 100, 100);
    CHECK(is_about(count.estimate(12), 200));
    CHECK(is_about(count.estimate(13), 100));
}

TEST_CASE("when the clock is set back counting begins anew", "[distinct_count]") {
    DistinctCount count{};
    for (std::uint32_t slice = 998; slice <= 1000; ++slice) add(count, slice, 0, 1000);
    CHECK(count.estimate(100) == 0);
    for (std::uint32_t slice = 100; slice <= 102; ++slice) {
        add(count, slice, 0, 100);
        CHECK(is_about(count.estimate(slice), 100));
    }
}

TEST_CASE("a count takes two kilobytes at most", "[distinct_count]") {
    CHECK(sizeof(DistinctCount) <= 2048);
}

TEST_CASE("threads and processes that add at once lose nothing", "[distinct_count]") {
    constexpr std::uint64_t each = 20'000 / tsan_divisor;
    const SharedMemory memory(sizeof(DistinctCount));
    auto& count = *static_cast<DistinctCount*>(memory.address());
    // The slice has begun: where one begins, what comes in the same microsecond may be lost.
    add(count, 5, 0, 1);
    REQUIRE(in_processes(3, [&](int number) {
        const auto part = [&](std::uint64_t thread) {
            for (std::uint64_t n = 0; n < each; ++n)
                count.add(hash_of(1, n * 6 + 2 * static_cast<std::uint64_t>(number) + thread), 5);
        };
        std::thread other(part, 1);
        part(0);
        other.join();
    }));
    DistinctCount alone{};
    add(alone, 5, 0, 6 * each);
    CHECK(count.estimate(5) == alone.estimate(5));
}

TEST_CASE("threads that change neighbours at once lose nothing", "[distinct_count]") {
    // Two registers share a byte: one thread adds to the first, the other to the second.
    std::vector<DistinctCount> counts(300);
    for (DistinctCount& count : counts) count.add(hash_for(0, 1), 1);
    in_step(counts.size(), [&](std::size_t thread, std::size_t round) {
        for (std::uint64_t index = thread; index < registers; index += 2) counts[round].add(hash_for(index, 1), 1);
    });
    DistinctCount alone{};
    for (std::uint64_t index = 0; index < registers; ++index) alone.add(hash_for(index, 1), 1);
    std::size_t different = 0;
    for (const DistinctCount& count : counts) different += count.estimate(1) != alone.estimate(1);
    CHECK(different == 0);
}

TEST_CASE("one that counts does not hinder one that asks", "[distinct_count]") {
    DistinctCount count{};
    add(count, 1, 0, 1);
    std::thread other([&] {
        for (std::uint32_t slice = 1; slice <= 50; ++slice) add(count, slice, slice * 100, 100);
    });
    std::size_t too_many = 0;
    for (int i = 0; i < 200; ++i) too_many += count.estimate(25) > 500;
    other.join();
    CHECK(too_many == 0);
    CHECK(is_about(count.estimate(50), 300));
}

}  // namespace lbsticky
