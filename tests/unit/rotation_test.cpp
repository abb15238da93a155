#include "core/rotation.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

using Weights = std::vector<std::uint32_t>;

std::vector<std::size_t> cycle_of(const Rotation& rotation) {
    std::vector<std::size_t> order;
    for (std::uint64_t ticket = 0; ticket < rotation.cycle(); ++ticket) order.push_back(rotation.pick(ticket));
    return order;
}

std::vector<std::size_t> cycle_of(const Weights& weights) {
    return cycle_of(Rotation(weights));
}

std::int64_t sum_of(const Weights& weights) {
    return std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
}

// The picks of one cycle, and by how much a worker is away from its exact share of the tickets, at the worst point of
// the cycle. The unit is a pick / (sum of weights), so that everything is a whole number.
struct Walk {
    std::vector<std::int64_t> picked;
    std::int64_t worst = 0;
};

Walk walk(const Rotation& rotation, const Weights& weights) {
    const std::int64_t sum = sum_of(weights);
    Walk result{std::vector<std::int64_t>(weights.size(), 0)};
    std::vector<std::int64_t> ahead(weights.size(), 0);
    for (std::uint64_t ticket = 0; ticket < rotation.cycle(); ++ticket) {
        const std::size_t worker = rotation.pick(ticket);
        ++result.picked[worker];
        ahead[worker] += sum;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            ahead[i] -= weights[i];
            result.worst = std::max(result.worst, std::abs(ahead[i]));
        }
    }
    return result;
}

// For weights that are not rounded: whether the cycle is as exact and smooth as rotation.hpp says.
bool is_exact_and_smooth(const Weights& weights) {
    const Rotation rotation(weights);
    std::int64_t divisor = 0;
    for (const auto weight : weights) divisor = std::gcd(divisor, std::int64_t{weight});
    const Walk result = walk(rotation, weights);
    bool exact = static_cast<std::int64_t>(rotation.cycle()) == sum_of(weights) / divisor;
    for (std::size_t i = 0; i < weights.size(); ++i) exact = exact && result.picked[i] * divisor == weights[i];
    return exact && result.worst < sum_of(weights);
}

// For weights that are rounded: by how many picks a worker is away from its exact share of a cycle, at most.
double most_picks_off(const Rotation& rotation, const Weights& weights) {
    std::vector<std::int64_t> picked(weights.size(), 0);
    for (std::uint64_t ticket = 0; ticket < rotation.cycle(); ++ticket) ++picked[rotation.pick(ticket)];
    double most = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const double share = static_cast<double>(rotation.cycle()) * weights[i] / static_cast<double>(sum_of(weights));
        most = std::max(most, std::abs(static_cast<double>(picked[i]) - share));
    }
    return most;
}

}  // namespace

TEST_CASE("workers of equal weight take turns strictly, whatever the weight", "[rotation]") {
    CHECK(cycle_of({1, 1, 1}) == std::vector<std::size_t>{0, 1, 2});
    for (const std::uint32_t weight : {1U, 100U, 9973U, 10000U}) {
        for (const std::size_t workers : {1U, 2U, 3U, 7U, 100U, 1000U, 4096U}) {
            CAPTURE(weight, workers);
            const Rotation rotation(Weights(workers, weight));
            REQUIRE(rotation.cycle() == workers);
            bool strict = true;
            for (std::uint64_t ticket = 0; ticket < 3 * workers; ++ticket)
                strict = strict && rotation.pick(ticket) == ticket % workers;
            CHECK(strict);
        }
    }
}

TEST_CASE("the heavy worker's turns are spread over the cycle", "[rotation]") {
    CHECK(cycle_of({5, 1, 1}) == std::vector<std::size_t>{0, 0, 1, 0, 0, 2, 0});
    CHECK(cycle_of({1, 2, 3}) == std::vector<std::size_t>{2, 1, 2, 0, 1, 2});
    CHECK(cycle_of({2, 1}) == std::vector<std::size_t>{0, 1, 0});
    CHECK(cycle_of({1, 3}) == std::vector<std::size_t>{1, 0, 1, 1});
    CHECK(cycle_of({4, 3, 2, 1}) == std::vector<std::size_t>{0, 1, 2, 0, 1, 0, 3, 2, 1, 0});
}

TEST_CASE("the orders that rotation.hpp shows are the real ones", "[rotation]") {
    std::ifstream header(LBSTICKY_CORE_DIR "/rotation.hpp");
    std::string line;
    while (std::getline(header, line) && line.find("weights   the cycle") == std::string::npos) {
    }
    int examples = 0;
    while (std::getline(header, line) && line.size() > 5) {
        CAPTURE(line);
        const auto gap = line.find("  ", 5);
        REQUIRE(gap != std::string::npos);
        Weights weights;
        std::istringstream left(line.substr(5, gap - 5));
        for (std::uint32_t weight = 0; left >> weight;) weights.push_back(weight);
        std::vector<std::size_t> order;
        std::istringstream right(line.substr(gap));
        for (std::size_t worker = 0; right >> worker;) order.push_back(worker);
        CHECK(cycle_of(weights) == order);
        ++examples;
    }
    CHECK(examples >= 3);
}

TEST_CASE("over a cycle each worker gets its exact share and is never a whole pick away from it", "[rotation]") {
    SECTION("all small weights of up to four workers") {
        std::size_t failed = 0;
        for (std::uint32_t a = 1; a <= 9; ++a) {
            failed += !is_exact_and_smooth({a});
            for (std::uint32_t b = 1; b <= 9; ++b) {
                failed += !is_exact_and_smooth({a, b});
                for (std::uint32_t c = 1; c <= 9; ++c) {
                    failed += !is_exact_and_smooth({a, b, c});
                    for (std::uint32_t d = 1; d <= 9 / tsan_divisor + 1; ++d)
                        failed += !is_exact_and_smooth({a, b, c, d});
                }
            }
        }
        CHECK(failed == 0);
    }
    SECTION("many workers of mixed weights") {
        Numbers numbers(1);
        std::size_t failed = 0;
        for (int run = 0; run < 300; ++run) {
            Weights weights(numbers.next(1, 60));
            for (auto& weight : weights) weight = numbers.next(1, 40);
            failed += !is_exact_and_smooth(weights);
        }
        CHECK(failed == 0);
    }
    SECTION("httpd's factors, from 100 to 10000") {
        CHECK(is_exact_and_smooth({100, 10000}));
        CHECK(is_exact_and_smooth({10000, 100}));
        CHECK(is_exact_and_smooth({101, 10000}));
        CHECK(is_exact_and_smooth({9999, 10000}));
        CHECK(is_exact_and_smooth({9973, 101, 10000}));
        CHECK(is_exact_and_smooth({10000, 9999, 9997}));
        CHECK(is_exact_and_smooth({100, 133, 150, 250, 1000, 3333, 10000}));
        CHECK(is_exact_and_smooth({10000, 10000, 10000, 100, 100, 50 * 100}));
        Numbers numbers(2);
        for (int run = 0; run < 20; ++run) {
            Weights weights(6);
            for (auto& weight : weights) weight = numbers.next(100, 5000);
            CAPTURE(weights);
            CHECK(is_exact_and_smooth(weights));
        }
    }
    SECTION("very uneven weights") {
        Weights one_heavy(101, 1);
        one_heavy[50] = 100;
        CHECK(is_exact_and_smooth(one_heavy));
        Weights one_light(101, 100);
        one_light[100] = 1;
        CHECK(is_exact_and_smooth(one_light));
        CHECK(is_exact_and_smooth({1, 32767}));
        CHECK(is_exact_and_smooth({32766, 1, 1}));
        CHECK(is_exact_and_smooth({1, 10, 100, 1000, 10000}));
    }
}

TEST_CASE("only the ratio of the weights counts", "[rotation]") {
    CHECK(cycle_of({100, 200, 300}) == cycle_of({1, 2, 3}));
    CHECK(cycle_of({5000, 1000, 1000}) == cycle_of({5, 1, 1}));
    CHECK(cycle_of({10000}) == std::vector<std::size_t>{0});
}

TEST_CASE("the cycle repeats for any ticket up to the last", "[rotation]") {
    const Rotation rotation(Weights{1, 2, 3});
    for (const std::uint64_t start : {std::uint64_t{6}, std::uint64_t{6'000'000'000}, std::uint64_t{6} << 60}) {
        for (std::uint64_t ticket = 0; ticket < 6; ++ticket) {
            CAPTURE(start, ticket);
            CHECK(rotation.pick(start + ticket) == rotation.pick(ticket));
        }
    }
    constexpr auto last = std::numeric_limits<std::uint64_t>::max();
    CHECK(rotation.pick(last) == rotation.pick(last % 6));
}

TEST_CASE("weights that would make the cycle too long are rounded", "[rotation]") {
    SECTION("not if the cycle is short enough") {
        const auto longest = static_cast<std::uint32_t>(Rotation::max_cycle(3));
        CHECK(Rotation(Weights{longest - 10'000, 9999, 1}).cycle() == longest);
        CHECK(Rotation(Weights{100 * (longest - 10'000), 100 * 9999, 100}).cycle() == longest);
        CHECK(is_exact_and_smooth({longest - 10'000, 9999, 1}));
        CHECK(Rotation(Weights{longest - 9999, 9999, 1}).cycle() == longest);
    }
    SECTION("to a cycle of about the longest length") {
        Numbers numbers(3);
        for (const std::size_t workers : {3U, 30U, 300U, 3000U}) {
            Weights weights(workers);
            for (auto& weight : weights) weight = numbers.next(100'000, 10'000'000);
            CAPTURE(workers);
            const Rotation rotation(weights);
            const std::uint64_t longest = Rotation::max_cycle(workers);
            CHECK(rotation.cycle() >= longest - workers);
            CHECK(rotation.cycle() <= longest + workers);
        }
    }
    SECTION("and nobody ends up without a turn") {
        CHECK(walk(Rotation(Weights{4'000'000'000, 1}), {4'000'000'000, 1}).picked[1] == 1);
        Weights weights(3000, 10000);
        weights[1234] = 100;
        const Rotation rotation(weights);
        const auto order = cycle_of(rotation);
        CHECK(std::count(order.begin(), order.end(), std::size_t{1234}) == 1);
    }
}

// Every worker here is due at least one pick a cycle.
TEST_CASE("in a rounded cycle each worker is less than a pick away from its exact share", "[rotation]") {
    SECTION("of 31 workers") {
        Weights weights(31, 9973);
        weights[3] = 101;
        CHECK(most_picks_off(Rotation(weights), weights) < 1.0);
    }
    SECTION("of 600 workers with any factors") {
        Numbers numbers(4);
        Weights weights(600);
        for (auto& weight : weights) weight = numbers.next(100, 10000);
        CHECK(most_picks_off(Rotation(weights), weights) < 1.0);
    }
    SECTION("of one heavy worker among 2,000 whose shares are all rounded the same way") {
        Weights weights(2001, 101);
        weights[0] = 10000;
        CHECK(most_picks_off(Rotation(weights), weights) < 1.0);
    }
}

TEST_CASE("in a rounded cycle the turns are as smooth as in any other", "[rotation]") {
    Numbers numbers(5);
    for (const std::size_t workers : {20U, 100U}) {
        Weights weights(workers);
        for (auto& weight : weights) weight = numbers.next(9000, 10000);
        const Rotation rotation(weights);
        const auto order = cycle_of(rotation);
        Weights rounded(workers, 0);
        for (const auto worker : order) ++rounded[worker];
        CAPTURE(workers);
        CHECK(walk(rotation, rounded).worst < sum_of(rounded));
    }
}

TEST_CASE("a rotation of no workers is empty, and a weight of 0 is refused", "[rotation]") {
    const Rotation rotation{Weights{}};
    CHECK(rotation.empty());
    CHECK(rotation.cycle() == 0);
    CHECK(rotation.owed(17).empty());
    CHECK_FALSE(Rotation(Weights{1}).empty());
    CHECK_THROWS_AS(Rotation(Weights{100, 0, 100}), std::invalid_argument);
}

TEST_CASE("what the rotation owes is in hundredths of a pick", "[rotation]") {
    SECTION("for equal weights") {
        const Rotation rotation(Weights{1, 1, 1});
        CHECK(rotation.owed(0) == std::vector<int>{0, 0, 0});
        CHECK(rotation.owed(1) == std::vector<int>{-66, 33, 33});
        CHECK(rotation.owed(2) == std::vector<int>{-33, -33, 66});
        CHECK(rotation.owed(3) == std::vector<int>{0, 0, 0});
        CHECK(rotation.owed(3'000'000'001) == std::vector<int>{-66, 33, 33});
    }
    SECTION("for uneven weights") {
        const Rotation rotation(Weights{6, 2, 2});  // 0 0 1 0 2, after division
        REQUIRE(cycle_of(rotation) == std::vector<std::size_t>{0, 1, 0, 2, 0});
        CHECK(rotation.owed(1) == std::vector<int>{-40, 20, 20});
        CHECK(rotation.owed(2) == std::vector<int>{20, -60, 40});
        CHECK(rotation.owed(3) == std::vector<int>{-20, -40, 60});
        CHECK(rotation.owed(4) == std::vector<int>{40, -20, -20});
        CHECK(rotation.owed(5) == std::vector<int>{0, 0, 0});
    }
    SECTION("never as much as a whole one") {
        const Rotation rotation(Weights{9973, 101, 10000});
        for (std::uint64_t tickets = 0; tickets < rotation.cycle(); tickets += 97) {
            const auto owed = rotation.owed(tickets);
            CAPTURE(tickets, owed);
            REQUIRE(std::all_of(owed.begin(), owed.end(), [](int hundredths) { return std::abs(hundredths) < 100; }));
            REQUIRE(std::abs(std::accumulate(owed.begin(), owed.end(), 0)) <= 2);  // each is rounded towards zero
        }
    }
}

}  // namespace lbsticky
