#include "core/consistent_hash.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/hash64.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

struct Member {
    std::string name;
    std::uint32_t weight = 100;
};
using Members = std::vector<Member>;

ConsistentHash hash_of(const Members& members) {
    ConsistentHash hash;
    for (const auto& [name, weight] : members) hash.add(name, weight);
    return hash;
}

Members equal_members(std::size_t count) {
    Members members;
    for (std::size_t i = 1; i <= count; ++i) members.push_back({"node" + std::to_string(i)});
    return members;
}

Members uneven_members(std::size_t count) {
    Members members = equal_members(count);
    for (std::size_t i = 0; i < count; ++i) members[i].weight = static_cast<std::uint32_t>(100 + 37 * (i % 11));
    return members;
}

Members without(Members members, std::size_t index) {
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(index));
    return members;
}

const std::vector<std::string>& sessions() {
    static const auto ids = [] {
        std::vector<std::string> some;
        for (std::uint64_t n = 0; n < 50'000 / tsan_divisor; ++n) some.push_back(session_id(n));
        return some;
    }();
    return ids;
}

// The name of the member that each session goes to.
std::vector<std::string> places_of_all(const Members& members) {
    ConsistentHash hash = hash_of(members);
    std::vector<std::string> places;
    for (const auto& id : sessions()) places.push_back(members[hash.place(id).value()].name);
    return places;
}

// The sessions that go elsewhere after a change.
struct Moves {
    std::size_t count = 0;
    std::size_t from_others = 0;  // moved away from other members than the named one
    std::size_t to_others = 0;    // moved to other members than the named one
};

Moves moves(const std::vector<std::string>& before, const std::vector<std::string>& after, const std::string& name) {
    Moves result;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i] == after[i]) continue;
        ++result.count;
        result.from_others += before[i] != name;
        result.to_others += after[i] != name;
    }
    return result;
}

std::size_t held_by(const std::string& name, const std::vector<std::string>& places) {
    return static_cast<std::size_t>(std::count(places.begin(), places.end(), name));
}

// By how much the share of a member differs at most from its share of the weights, relative to the latter.
double worst_deviation(const Members& members, const std::vector<std::size_t>& held) {
    double weights = 0;
    for (const auto& member : members) weights += member.weight;
    const double all = static_cast<double>(std::accumulate(held.begin(), held.end(), std::size_t{0}));
    double worst = 0;
    for (std::size_t i = 0; i < members.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(held[i]) * weights / (members[i].weight * all) - 1));
    return worst;
}

// A session id of eight bytes whose hash64() is this number: all steps of hash64() can be undone.
std::string with_hash(std::uint64_t hash) {
    constexpr std::uint64_t m = 0xc6a4a7935bd1e995ULL;
    constexpr std::uint64_t inverse = 0x5f7a0ea7e59b19bdULL;  // m * inverse == 1
    static_assert(m * inverse == 1);
    const auto unmixed = [](std::uint64_t x) { return x ^ x >> 47; };
    std::uint64_t word = unmixed(hash);
    word = unmixed(word * inverse) * inverse;
    word ^= 8 * m;
    word = unmixed(word * inverse) * inverse;
    std::string id(8, '\0');
    for (char& c : id) {
        c = static_cast<char>(word & 0xff);
        word >>= 8;
    }
    return id;
}

// The definition, without a cache and without a shortcut.
std::size_t winner_by_definition(const Members& members, std::string_view key) {
    std::size_t winner = 0;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < members.size(); ++i) {
        const std::uint64_t draw = mix64(hash64(key) ^ hash64(members[i].name));
        const double time = -std::log((static_cast<double>(draw >> 11) + 0.5) * 0x1p-53) / members[i].weight;
        if (time >= best) continue;
        best = time;
        winner = i;
    }
    return winner;
}

constexpr std::size_t million = 1'000'000 / tsan_divisor;
constexpr double tolerance = tsan_divisor == 1 ? 0.05 : 0.1;  // a quarter of the sessions has twice the scatter

}  // namespace

// Computed by an independent program. They may never change: front ends of different versions would no longer agree,
// and an upgrade would move sessions.
TEST_CASE("where a session goes is the same for all time and on every machine", "[consistent_hash]") {
    const struct {
        std::string_view key;
        std::size_t equal, uneven;
    } rows[] = {
        {"12345", 0, 2},
        {"0", 1, 1},
        {"1", 0, 2},
        {"2", 1, 2},
        {"3", 1, 1},
        {"", 0, 2},
        {".node1", 2, 2},
        {"A1B2C3D4E5F6", 1, 2},
        {"abcdefghijklmnopqrstuvwxyz", 2, 2},
        {"\xc3\xa4", 2, 2},
    };
    ConsistentHash equal = hash_of({{"node1", 100}, {"node2", 100}, {"node3", 100}});
    ConsistentHash uneven = hash_of({{"node1", 100}, {"node2", 250}, {"node3", 10000}});
    for (const auto& row : rows) {
        CAPTURE(row.key);
        CHECK(equal.place(row.key) == row.equal);
        CHECK(uneven.place(row.key) == row.uneven);
    }
}

TEST_CASE("every session goes to the member whose weighted draw is the earliest", "[consistent_hash]") {
    for (const Members& members :
         {equal_members(3), uneven_members(40), Members{{"light", 100}, {"heavy", 10000}, {"middle", 1000}}}) {
        ConsistentHash hash = hash_of(members);
        std::size_t different = 0;
        for (std::uint64_t n = 0; n < 20'000 / tsan_divisor; ++n) {
            const std::string id = session_id(n);
            different += hash.place(id) != winner_by_definition(members, id);
        }
        CHECK(different == 0);
    }
}

TEST_CASE("each of 100 members holds its weight's share of a million sessions, within 5 %", "[consistent_hash]") {
    SECTION("equal weights, ids that are numbered") {
        const Members members = equal_members(100);
        ConsistentHash hash = hash_of(members);
        std::vector<std::size_t> held(members.size(), 0);
        for (std::size_t n = 0; n < million; ++n) ++held[hash.place(std::to_string(n)).value()];
        CHECK(worst_deviation(members, held) < tolerance);
    }
    SECTION("uneven weights, random ids") {
        const Members members = uneven_members(100);
        ConsistentHash hash = hash_of(members);
        std::vector<std::size_t> held(members.size(), 0);
        for (std::uint64_t n = 0; n < million; ++n) ++held[hash.place(session_id(n)).value()];
        CHECK(worst_deviation(members, held) < tolerance);
    }
}

TEST_CASE("the lightest of members as uneven as httpd allows gets its share too", "[consistent_hash]") {
    const Members members = {{"light", 100}, {"heavy", 10000}};
    ConsistentHash hash = hash_of(members);
    std::vector<std::size_t> held(2, 0);
    for (std::uint64_t n = 0; n < million; ++n) ++held[hash.place(session_id(n)).value()];
    CHECK(worst_deviation(members, held) < tolerance);
}

TEST_CASE("a member that leaves moves only its own sessions, and gets them back", "[consistent_hash]") {
    const Members members = uneven_members(20);
    const auto before = places_of_all(members);
    for (const std::size_t leaving : {0U, 7U, 19U}) {
        const std::string& name = members[leaving].name;
        CAPTURE(name);
        const auto meanwhile = places_of_all(without(members, leaving));
        const Moves gone = moves(before, meanwhile, name);
        CHECK(gone.count == held_by(name, before));
        CHECK(gone.from_others == 0);
        CHECK(held_by(name, meanwhile) == 0);

        Members again = without(members, leaving);
        again.push_back(members[leaving]);
        CHECK(places_of_all(again) == before);
    }
}

TEST_CASE("the sessions of a member that leaves are spread over all others", "[consistent_hash]") {
    const Members members = equal_members(10);
    const auto before = places_of_all(members);
    const auto after = places_of_all(without(members, 4));
    std::map<std::string, std::size_t> received;
    for (std::size_t i = 0; i < before.size(); ++i)
        if (before[i] == "node5") ++received[after[i]];
    CHECK(received.size() == 9);
    const std::size_t fair = held_by("node5", before) / 9;
    for (const auto& [name, count] : received) {
        CAPTURE(name);
        CHECK(count > fair / 2);
        CHECK(count < fair * 2);
    }
}

TEST_CASE("a member that comes takes only what it gets", "[consistent_hash]") {
    const Members members = uneven_members(20);
    const auto before = places_of_all(members);
    for (const std::uint32_t weight : {100U, 1000U, 10000U}) {
        Members more = members;
        more.insert(more.begin() + 3, {"newcomer", weight});
        const auto after = places_of_all(more);
        const Moves come = moves(before, after, "newcomer");
        CAPTURE(weight);
        CHECK(come.to_others == 0);
        CHECK(come.count == held_by("newcomer", after));
        CHECK(come.count > 0);
    }
}

TEST_CASE("the order of the members has no part in where a session goes", "[consistent_hash]") {
    Members members = uneven_members(20);
    const auto places = places_of_all(members);
    std::reverse(members.begin(), members.end());
    CHECK(places_of_all(members) == places);
    std::rotate(members.begin(), members.begin() + 6, members.end());
    CHECK(places_of_all(members) == places);
    std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.weight < b.weight; });
    CHECK(places_of_all(members) == places);
}

TEST_CASE("a weight that rises only moves sessions to its member, one that falls only moves some away",
          "[consistent_hash]") {
    const Members members = uneven_members(20);
    const auto before = places_of_all(members);
    Members changed = members;
    changed[5].weight = 2 * members[5].weight;
    const Moves rise = moves(before, places_of_all(changed), members[5].name);
    CHECK(rise.count > 0);
    CHECK(rise.to_others == 0);

    changed[5].weight = members[5].weight / 2;
    const Moves fall = moves(before, places_of_all(changed), members[5].name);
    CHECK(fall.count > 0);
    CHECK(fall.from_others == 0);
}

TEST_CASE("only the ratio of the weights counts for where a session goes", "[consistent_hash]") {
    Members members = uneven_members(20);
    const auto places = places_of_all(members);
    for (auto& member : members) member.weight *= 8;
    CHECK(places_of_all(members) == places);
}

TEST_CASE("the cache gives the member that would be computed", "[consistent_hash]") {
    const Members members = uneven_members(ConsistentHash::max_uncached + 1);
    SECTION("also after many more sessions than it holds") {
        constexpr std::uint64_t many = 10 * ConsistentHash::cache_sets * ConsistentHash::cache_ways;
        ConsistentHash hash = hash_of(members);
        std::vector<std::size_t> fresh;
        for (std::uint64_t n = 0; n < many; ++n) fresh.push_back(hash.place(session_id(n)).value());
        std::size_t different = 0;
        for (std::uint64_t n = many; n-- > 0;) different += hash.place(session_id(n)) != fresh[n];
        CHECK(different == 0);
    }
    SECTION("also for sessions that share a set") {
        std::map<std::uint64_t, std::vector<std::string>> by_set;
        for (std::uint64_t n = 0; n < 20'000; ++n)
            by_set[hash64(session_id(n)) % ConsistentHash::cache_sets].push_back(session_id(n));
        ConsistentHash hash = hash_of(members);
        std::size_t contested = 0;
        std::size_t different = 0;
        for (const auto& [set, ids] : by_set) {
            contested += ids.size() > ConsistentHash::cache_ways;
            for (int round = 0; round < 3; ++round)
                for (const auto& id : ids) different += hash.place(id) != winner_by_definition(members, id);
        }
        CHECK(contested == 1024);
        CHECK(different == 0);
    }
    SECTION("also for sessions whose hashes differ in one bit") {
        ConsistentHash hash = hash_of(members);
        std::size_t different = 0;
        for (std::uint64_t bit = 0; bit < 64; ++bit) {
            const std::string one = with_hash(0);
            const std::string other = with_hash(std::uint64_t{1} << bit);
            REQUIRE(hash64(other) == std::uint64_t{1} << bit);
            for (const std::string& id : {one, other, one})
                different += hash.place(id) != winner_by_definition(members, id);
        }
        CHECK(different == 0);
    }
}

TEST_CASE("there is a cache only for many members, from the second session on", "[consistent_hash]") {
    ConsistentHash a_few = hash_of(equal_members(ConsistentHash::max_uncached));
    for (std::uint64_t n = 0; n < 1000; ++n) a_few.place(session_id(n % 3));
    CHECK_FALSE(a_few.has_cache());

    ConsistentHash more = hash_of(equal_members(ConsistentHash::max_uncached + 1));
    CHECK_FALSE(more.has_cache());
    more.place("once");
    CHECK_FALSE(more.has_cache());
    more.place("once");
    CHECK(more.has_cache());
}

TEST_CASE("adding a member empties the cache", "[consistent_hash]") {
    Members members = equal_members(ConsistentHash::max_uncached + 1);
    ConsistentHash hash = hash_of(members);
    for (std::uint64_t n = 0; n < 100; ++n)
        REQUIRE(hash.place(session_id(n)) == winner_by_definition(members, session_id(n)));
    CHECK(hash.has_cache());
    hash.add("newcomer", 10000);
    CHECK_FALSE(hash.has_cache());
    members.push_back({"newcomer", 10000});
    for (std::uint64_t n = 0; n < 100; ++n)
        CHECK(hash.place(session_id(n)) == winner_by_definition(members, session_id(n)));
}

TEST_CASE("any bytes are a session id, also none", "[consistent_hash]") {
    const Members members = equal_members(5);
    ConsistentHash hash = hash_of(members);
    for (const std::string& key : {std::string(), std::string(1, '\0'), std::string("\xff\xfe"), std::string(8192, 'x'),
                                   std::string("node1"), std::string("a.b;c,d\"")}) {
        CAPTURE(key);
        CHECK(hash.place(key) == winner_by_definition(members, key));
        CHECK(hash.place(key) == winner_by_definition(members, key));
    }
}

TEST_CASE("among some of the members a session goes where it would go if the others were not there",
          "[consistent_hash]") {
    const Members members = uneven_members(GENERATE(5U, 40U));
    ConsistentHash hash = hash_of(members);
    const auto check = [&](auto may) {
        Members there;
        for (std::size_t i = 0; i < members.size(); ++i)
            if (may(i)) there.push_back(members[i]);
        std::size_t different = 0;
        for (std::uint64_t n = 0; n < 1000; ++n) {
            const auto place = hash.place_among(session_id(n), may).value();
            different += members[place].name != there[winner_by_definition(there, session_id(n))].name;
        }
        CHECK(different == 0);
    };
    check([](std::size_t) { return true; });
    check([](std::size_t i) { return i != 0; });
    check([](std::size_t i) { return i % 2 == 1; });
    check([](std::size_t i) { return i == 4; });
    check([](std::size_t i) { return i != 2 && i != 3; });
    CHECK_FALSE(hash.place_among("12345", [](std::size_t) { return false; }));
    CHECK_FALSE(ConsistentHash().place_among("12345", [](std::size_t) { return true; }));
}

TEST_CASE("a place among some is not remembered as the place of a session", "[consistent_hash]") {
    const Members members = equal_members(ConsistentHash::max_uncached + 1);
    ConsistentHash hash = hash_of(members);
    std::size_t different = 0;
    for (std::uint64_t n = 0; n < 1000; ++n) {
        const std::string id = session_id(n);
        const auto place = hash.place(id);
        const auto next = hash.place_among(id, [&](std::size_t i) { return i != place; });
        different += next == place || hash.place(id) != place || place != winner_by_definition(members, id);
    }
    CHECK(hash.has_cache());
    CHECK(different == 0);
}

TEST_CASE("without members there is no place for a session, with one there is one", "[consistent_hash]") {
    ConsistentHash hash;
    CHECK_FALSE(hash.place("12345"));
    hash.add("node1", 1);
    CHECK(hash.place("12345") == 0);
    CHECK(hash.place("") == 0);
}

TEST_CASE("there may be 65,535 members, and not one more", "[consistent_hash]") {
    ConsistentHash hash;
    for (int i = 0; i < 65'534; ++i) hash.add("node" + std::to_string(i), 100);
    hash.add("heavy", 4'000'000'000);
    CHECK_THROWS_AS(hash.add("one more", 100), std::length_error);
    // The last one outweighs all others together 600 times.
    std::size_t to_the_last = 0;
    for (std::uint64_t n = 0; n < 20; ++n) {
        const std::string id = session_id(n);
        const auto place = hash.place(id);
        CHECK(hash.place(id) == place);
        to_the_last += place == 65'534;
    }
    CHECK(to_the_last >= 19);
}

}  // namespace lbsticky
