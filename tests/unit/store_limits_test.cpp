// What keeps a store from being asked: its breaker, its allowance, and what it did not have.
#include <string>

#include "catch.hpp"
#include "store/allowance.hpp"
#include "store/breaker.hpp"
#include "store/recent_misses.hpp"

namespace lbsticky {
namespace {

using namespace std::chrono_literals;

const Breaker::Time begin{1000s};

}  // namespace

TEST_CASE("a breaker opens after three failures in a row", "[breaker]") {
    Breaker breaker;
    CHECK_FALSE(breaker.failed(begin));
    CHECK_FALSE(breaker.failed(begin));
    CHECK_FALSE(breaker.succeeded(begin));
    CHECK_FALSE(breaker.failed(begin));
    CHECK_FALSE(breaker.failed(begin));
    CHECK(breaker.allows(begin));
    CHECK(breaker.failed(begin));
    CHECK(breaker.is_open());
    CHECK_FALSE(breaker.allows(begin));
}

TEST_CASE("an open breaker allows a try after 1 s, then after twice the time, up to 30 s", "[breaker]") {
    Breaker breaker;
    CHECK(breaker.failed(begin, true));
    auto now = begin;
    for (const auto delay : {1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s}) {
        CHECK(breaker.next_try() == now + delay);
        CHECK_FALSE(breaker.allows(now + delay - 1ns));
        now += delay;
        CHECK(breaker.allows(now));
        CHECK_FALSE(breaker.failed(now));
    }
}

TEST_CASE("a success closes a breaker", "[breaker]") {
    Breaker breaker;
    breaker.failed(begin, true);
    CHECK(breaker.succeeded(begin + 1s));
    CHECK_FALSE(breaker.is_open());
    CHECK(breaker.allows(begin + 1s));
    CHECK_FALSE(breaker.succeeded(begin + 1s));
    CHECK_FALSE(breaker.failed(begin + 1s));  // it takes three again
}

TEST_CASE("who comes and goes is tried less and less, who stayed is tried soon", "[breaker]") {
    Breaker breaker;
    auto now = begin;
    for (const auto delay : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
        breaker.failed(now, true);
        CHECK(breaker.next_try() == now + delay);
        now += delay;
        breaker.succeeded(now);
        now += 29s;
    }
    now += 1s;
    breaker.failed(now, true);
    CHECK(breaker.next_try() == now + 1s);
}

TEST_CASE("an allowance is so many at once, and so many a second", "[allowance]") {
    Allowance allowance(1000);
    const auto taken = [&](Breaker::Time now) {
        int count = 0;
        while (allowance.take(now)) ++count;
        return count;
    };
    CHECK(taken(begin) == 1000);
    CHECK(taken(begin) == 0);
    CHECK(taken(begin + 500ms) == 500);
    CHECK(taken(begin + 501ms) == 1);
    CHECK(taken(begin + 3600s) == 1000);
    int count = 0;
    for (auto now = begin + 3600s; now < begin + 3610s; now += 100us) count += allowance.take(now);
    CHECK(count == 9999);
}

TEST_CASE("a miss is remembered for three seconds, or until it is forgotten", "[recent_misses]") {
    RecentMisses misses;
    CHECK_FALSE(misses.contains("key", begin));
    misses.remember("key", begin);
    CHECK(misses.contains("key", begin));
    CHECK(misses.contains("key", begin + 2999ms));
    CHECK_FALSE(misses.contains("key", begin + 3s));
    CHECK_FALSE(misses.contains("other", begin));
    misses.forget("other");
    CHECK(misses.contains("key", begin));
    misses.forget("key");
    CHECK_FALSE(misses.contains("key", begin));
}

TEST_CASE("of many misses some are remembered, and no key is taken for another", "[recent_misses]") {
    RecentMisses misses;
    for (int i = 0; i < 10'000; ++i) misses.remember("key" + std::to_string(i), begin);
    int remembered = 0;
    for (int i = 0; i < 10'000; ++i) remembered += misses.contains("key" + std::to_string(i), begin);
    CHECK(remembered > 1000);
    CHECK(remembered <= 2048);
    for (int i = 0; i < 10'000; ++i) CHECK_FALSE(misses.contains("other" + std::to_string(i), begin));
}

}  // namespace lbsticky
