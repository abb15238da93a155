#include "core/session_table.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "core/hash64.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

constexpr std::uint32_t noon = 1'000'000;
constexpr std::uint32_t idle = 3600;
constexpr Origin given = Origin::given;
constexpr Origin placed = Origin::placed;
using Found = SessionTable::Found;

// The key of the n-th session.
SessionKey key(std::uint64_t n) {
    return {mix64(2 * n + 1), mix64(2 * n + 2)};
}

// The worker of the n-th session: no two have the same.
std::uint64_t worker(std::uint64_t n) {
    return mix64(~n);
}

class Table {
public:
    explicit Table(std::size_t places)
        : memory_(SessionTable::bytes(places)), table_(SessionTable::create(memory_.address(), places)) {}

    SessionTable* operator->() const noexcept { return table_; }
    SessionTable& operator*() const noexcept { return *table_; }

    // Puts the n-th session on its worker.
    bool put(std::uint64_t n, Origin origin, std::uint32_t now) const {
        return table_->put(key(n), worker(n), now, idle, origin);
    }

    // What is found of the sessions `first` … `last`: one character each, `g` or `p` by the origin, `-` for none, `!`
    // if the worker is wrong. They are not used by that, if `now` is not later than their last use.
    std::string found(std::uint64_t first, std::uint64_t last, std::uint32_t now) const {
        std::string text;
        for (std::uint64_t n = first; n <= last; ++n) {
            const auto found = table_->find(key(n), now, idle);
            text += !found ? '-' : found->worker != worker(n) ? '!' : found->origin == given ? 'g' : 'p';
        }
        return text;
    }

private:
    SharedMemory memory_;
    SessionTable* table_;
};

// A process that does the same for ever, until it is killed or its parent ends.
class Victim {
public:
    template <typename Work>
    explicit Victim(const Work& work) {
        const pid_t parent = getpid();
        process_ = fork();
        if (process_ != 0) return;
        for (std::uint64_t i = 0; i % 1024 != 0 || getppid() == parent; ++i) work(i);
        _exit(0);
    }
    ~Victim() { kill(); }
    Victim(const Victim&) = delete;
    Victim& operator=(const Victim&) = delete;

    // Ends it, wherever it is.
    void kill() {
        if (process_ <= 0) return;
        ::kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
        process_ = 0;
    }

private:
    pid_t process_ = 0;
};

// Waits until so many sessions have been evicted, but not for ever.
void wait_for_evictions(const SessionTable& table, std::uint64_t count) {
    for (int i = 0; i < 100'000 && table.evicted() < count; ++i) std::this_thread::yield();
}

}  // namespace

TEST_CASE("memory of zeros becomes an empty table", "[session_table]") {
    const Table table(100);
    CHECK(table->held(noon, idle) == 0);
    CHECK(table->held(1, idle) == 0);
    CHECK(table->evicted() == 0);
    CHECK(table->dropped() == 0);
    for (std::uint64_t n = 0; n < 1000; ++n) CHECK_FALSE(table->find(key(n), noon, idle));
    CHECK_FALSE(table->find({0, 0}, noon, idle));
    CHECK_FALSE(table->find({0, 0}, 1, idle));
}

TEST_CASE("a table is intact if it was made for as many places, in whole sets", "[session_table]") {
    const SharedMemory zeros(SessionTable::bytes(100));
    CHECK_FALSE(static_cast<SessionTable*>(zeros.address())->intact(100));
    const Table table(100);
    CHECK(table->places() == 104);
    CHECK(table->intact(100));
    CHECK(table->intact(97));
    CHECK(table->intact(104));
    CHECK_FALSE(table->intact(96));
    CHECK_FALSE(table->intact(105));
    CHECK_FALSE(table->intact(0));
}

TEST_CASE("a session takes 32 bytes, and places come in sets of eight", "[session_table]") {
    constexpr std::size_t header = sizeof(SessionTable);
    CHECK(header == 128);
    CHECK(SessionTable::bytes(0) == header + 256);
    CHECK(SessionTable::bytes(1) == header + 256);
    CHECK(SessionTable::bytes(8) == header + 256);
    CHECK(SessionTable::bytes(9) == header + 512);
    CHECK(SessionTable::bytes(65'536) == header + std::size_t{65'536} * 32);
    CHECK(SessionTable::bytes(1'000'000) == header + std::size_t{1'000'000} * 32);
    CHECK(Table(0)->places() == 8);
}

TEST_CASE("a table lies within its bytes and uses all of them", "[session_table]") {
    // Another table behind the first one, which would show what is written there.
    const std::size_t places = GENERATE(1U, 8U, 20U, 1000U);
    const std::size_t size = SessionTable::bytes(places);
    const SharedMemory memory(size + SessionTable::bytes(8));
    SessionTable& table = *SessionTable::create(memory.address(), places);
    SessionTable& behind = *SessionTable::create(static_cast<unsigned char*>(memory.address()) + size, 8);
    for (std::uint64_t n = 0; n < 100 * places; ++n) table.put(key(n), worker(n), noon, idle, given);
    table.put({UINT64_MAX, UINT64_MAX}, 1, noon, idle, given);
    table.put({0, 0}, 1, noon, idle, given);
    CHECK(table.held(noon, idle) == table.places());
    CHECK(behind.intact(8));
    CHECK(behind.held(noon, idle) == 0);
    CHECK(behind.evicted() == 0);
}

TEST_CASE("a session is found where it was put, and who said so", "[session_table]") {
    const Table table(1000);
    CHECK(table.put(1, given, noon));
    CHECK(table.put(2, placed, noon));
    CHECK(table->find(key(1), noon, idle) == Found{worker(1), given});
    CHECK(table->find(key(2), noon, idle) == Found{worker(2), placed});
    CHECK_FALSE(table->find(key(3), noon, idle));
    CHECK(table->held(noon, idle) == 2);
}

TEST_CASE("any key and any worker can be stored, zeros too", "[session_table]") {
    for (const SessionKey key : {SessionKey{0, 0}, SessionKey{0, 1}, SessionKey{UINT64_MAX, UINT64_MAX}}) {
        for (const std::uint64_t worker : {std::uint64_t{0}, std::uint64_t{1}, key.low, UINT64_MAX}) {
            for (const Origin origin : {placed, given}) {
                const Table table(8);
                CHECK(table->put(key, worker, 1, idle, origin));
                CHECK(table->find(key, 1, idle) == Found{worker, origin});
                CHECK_FALSE(table->find({key.high, key.low ^ 1}, 1, idle));
                CHECK(table->held(1, idle) == 1);
            }
        }
    }
}

TEST_CASE("what one process puts another one finds", "[session_table]") {
    const Table table(100);
    REQUIRE(in_processes(2, [&](int number) { table.put(static_cast<std::uint64_t>(number), given, noon); }));
    CHECK(table.found(0, 2, noon) == "gg-");
}

TEST_CASE("keys that share one half are different sessions", "[session_table]") {
    const Table table(8);
    // Each shares its higher half with one other and its lower half with another; then all bits but one.
    const std::vector<SessionKey> keys = {{7, 70}, {7, 80}, {9, 70}, {9, 80}, {9, 81}, {8, 80}};
    for (std::size_t i = 0; i < keys.size(); ++i) {
        for (std::size_t j = i; j < keys.size(); ++j) CHECK_FALSE(table->find(keys[j], noon, idle));
        CHECK(table->put(keys[i], 100 + i, noon, idle, i % 2 == 0 ? given : placed));
    }
    for (std::size_t i = 0; i < keys.size(); ++i)
        CHECK(table->find(keys[i], noon, idle) == Found{100 + i, i % 2 == 0 ? given : placed});
    CHECK(table->held(noon, idle) == keys.size());
}

TEST_CASE("what a worker gave moves a session that is known, in its place", "[session_table]") {
    const Table table(8);
    table.put(1, GENERATE(placed, given), noon);
    for (std::uint64_t n = 2; n <= 8; ++n) table.put(n, given, noon);
    CHECK(table->put(key(1), 42, noon, idle, given));
    CHECK(table->find(key(1), noon, idle) == Found{42, given});
    CHECK(table.found(2, 8, noon) == "ggggggg");
    CHECK(table->held(noon, idle) == 8);
    CHECK(table->evicted() == 0);
}

TEST_CASE("a worker that gives an id which was placed on it makes it given", "[session_table]") {
    const Table table(8);
    table.put(1, placed, noon);
    CHECK(table.put(1, given, noon));
    CHECK(table.found(1, 1, noon) == "g");
    CHECK(table->held(noon, idle) == 1);
}

TEST_CASE("placing moves no session that is alive", "[session_table]") {
    const Table table(8);
    const Origin origin = GENERATE(placed, given);
    table.put(1, origin, noon);
    CHECK_FALSE(table->put(key(1), 42, noon, idle, placed));
    CHECK(table->find(key(1), noon, idle) == Found{worker(1), origin});
    // Whoever comes to the same worker is right.
    CHECK(table.put(1, placed, noon));
    CHECK(table->find(key(1), noon, idle) == Found{worker(1), origin});
    // One that is over is placed like one that nobody knew, and leaves nothing behind.
    CHECK(table->put(key(1), 42, noon + idle + 1, idle, placed));
    CHECK(table->find(key(1), noon + idle + 1, idle) == Found{42, placed});
    CHECK(table->held(noon + idle + 1, idle) == 1);
    CHECK(table->held(noon, 2 * idle) == 1);
    CHECK(table->dropped() == 0);
    CHECK(table->evicted() == 0);
}

TEST_CASE("what was only guessed makes way for whoever knows, and for no other guess", "[session_table]") {
    const Table table(8);
    REQUIRE(table.put(1, Origin::guessed, noon));
    CHECK_FALSE(table->put(key(1), worker(2), noon, idle, Origin::guessed));
    CHECK(table->find(key(1), noon, idle)->origin == Origin::guessed);

    for (const Origin origin : {placed, given}) {
        CHECK(table->put(key(1), worker(3), noon, idle, origin));
        CHECK(*table->find(key(1), noon, idle) == Found{worker(3), origin});
        CHECK_FALSE(table->put(key(1), worker(1), noon, idle, Origin::guessed));
    }
    CHECK(table->held(noon, idle) == 1);
}

TEST_CASE("in a full set a guess makes room before what was placed", "[session_table]") {
    const Table table(8);
    for (std::uint64_t n = 1; n <= 8; ++n) table.put(n, n == 5 ? Origin::guessed : placed, noon + (n == 5 ? 9 : 0));
    CHECK(table.put(9, placed, noon + 10));
    CHECK(table.found(1, 9, noon + 10) == "pppp-pppp");
    CHECK_FALSE(table.put(10, Origin::guessed, noon + 10));
}

TEST_CASE("a session is alive until its last use is longer ago than allowed", "[session_table]") {
    const Table table(100);
    for (std::uint64_t n = 1; n <= 3; ++n) table.put(n, given, noon);
    CHECK(table->held(noon + idle, idle) == 3);
    CHECK(table->held(noon + idle + 1, idle) == 0);
    // Looking at it is use; so is putting it again.
    CHECK(table.found(1, 1, noon + idle) == "g");
    CHECK(table.put(2, given, noon + idle));
    CHECK(table->held(noon + idle + 1, idle) == 2);
    CHECK(table.found(1, 3, noon + 2 * idle) == "gg-");
    CHECK(table.found(1, 3, noon + 3 * idle + 1) == "---");
    CHECK(table.found(1, 3, noon + 3 * idle) == "gg-");
}

TEST_CASE("looking for a session that is over does not bring it back", "[session_table]") {
    const Table table(8);
    table.put(1, given, noon);
    CHECK(table.found(1, 1, noon + idle + 1) == "-");
    CHECK(table.found(1, 1, noon + idle + 1) == "-");
    CHECK(table->held(noon + idle + 1, idle) == 0);
}

TEST_CASE("a session that somebody only looks for is not used by that", "[session_table]") {
    const Table table(8);
    table.put(1, given, noon);
    CHECK(table->find(key(1), noon + idle, idle, false));
    CHECK_FALSE(table->find(key(1), noon + idle + 1, idle, false));
}

TEST_CASE("how long sessions may be idle is for those to say who ask", "[session_table]") {
    const Table table(8);
    table.put(1, given, noon);
    CHECK(table->held(noon + 10, 9) == 0);
    CHECK_FALSE(table->find(key(1), noon + 10, 9));
    CHECK(table->held(noon, 0) == 1);
    CHECK(table->held(noon + 10, 10) == 1);
    CHECK(table->find(key(1), noon + 10, 10));
    CHECK(table->find(key(1), noon + 20, 10));
}

TEST_CASE("who is a little late, or has a clock that was set back, finds sessions and makes them no older",
          "[session_table]") {
    const Table table(8);
    table.put(1, given, noon);
    for (const std::uint32_t earlier : {noon - 1, noon - idle - 1, 1U}) {
        CAPTURE(earlier);
        CHECK(table->held(earlier, idle) == 1);
        CHECK(table.found(1, 1, earlier) == "g");
        CHECK(table.put(1, given, earlier));
        CHECK(table.put(1, placed, earlier));
    }
    CHECK(table->held(noon + idle, idle) == 1);
}

TEST_CASE("in a full set sessions that are over make room, then the least recently used", "[session_table]") {
    // One character for each session in the set, by age: the first was last used first. Which one goes for a new one
    // that is given, and for one that is placed; 0: the new one itself.
    struct {
        std::string_view set;
        std::uint64_t for_given;
        std::uint64_t for_placed;
    } const rows[] = {
        {"gggggggg", 1, 0}, {"pppppppp", 1, 1}, {"gggggggp", 8, 8}, {"pggggggg", 1, 1},
        {"gpgpgggg", 2, 2}, {"ggggpppp", 5, 5}, {"ppppgggg", 1, 1},
    };
    for (const auto& [set, for_given, for_placed] : rows) {
        for (const Origin origin : {given, placed}) {
            CAPTURE(set, origin);
            const Table table(8);
            const std::uint32_t now = noon + 9;
            // Not in the order of their places.
            for (const std::uint64_t n : {3, 8, 1, 6, 2, 7, 5, 4})
                table.put(n, set[n - 1] == 'g' ? given : placed, noon + static_cast<std::uint32_t>(n));
            const std::uint64_t goes = origin == given ? for_given : for_placed;
            CHECK(table.put(9, origin, now) == (goes != 0));
            std::string left = std::string(set) + (origin == given ? "g" : "p");
            left[goes == 0 ? 8 : goes - 1] = '-';
            CHECK(table.found(1, 9, now) == left);
            CHECK(table->held(now, idle) == 8);
            CHECK(table->evicted() == (goes != 0 ? 1 : 0));
            CHECK(table->dropped() == (goes != 0 ? 0 : 1));
        }
    }
}

TEST_CASE("a session that is over makes room first, whoever gave it and whoever comes", "[session_table]") {
    const Origin origin = GENERATE(given, placed);
    const Table table(8);
    for (std::uint64_t n = 1; n <= 7; ++n) table.put(n, placed, noon + idle);
    table.put(8, given, noon);
    CHECK(table.put(9, origin, noon + idle + 1));
    CHECK(table.found(1, 9, noon + idle + 1) == std::string("ppppppp-") + (origin == given ? "g" : "p"));
    CHECK(table->evicted() == 0);
    CHECK(table->dropped() == 0);
}

TEST_CASE("a free place is taken before anybody has to go", "[session_table]") {
    const Table table(8);
    for (std::uint64_t n = 1; n <= 8; ++n) CHECK(table.put(n, n % 2 == 0 ? given : placed, noon - 10 * (n % 3 == 0)));
    CHECK(table.found(1, 8, noon) == "pgpgpgpg");
    CHECK(table->evicted() == 0);
}

TEST_CASE("a session that is used is not the least recently used", "[session_table]") {
    const Table table(8);
    for (std::uint64_t n = 1; n <= 8; ++n) table.put(n, given, noon + static_cast<std::uint32_t>(n));
    CHECK(table.found(1, 1, noon + 10) == "g");
    CHECK(table.put(2, given, noon + 10));
    CHECK(table.put(9, given, noon + 11));
    CHECK(table.found(1, 9, noon + 11) == "gg-gggggg");
}

TEST_CASE("a flood of ids that somebody made up drives out no session that a worker gave", "[session_table]") {
    constexpr std::uint64_t sessions = 600;
    const Table table(1000);
    for (std::uint64_t n = 0; n < sessions; ++n) REQUIRE(table.put(n, given, noon));
    const std::uint64_t evicted_before = table->evicted();
    std::uint64_t refused = 0;
    for (std::uint64_t n = sessions; n < 100'000; ++n) refused += !table.put(n, placed, noon + 1);
    std::uint64_t lost = 0;
    for (std::uint64_t n = 0; n < sessions; ++n) lost += !table->find(key(n), noon + 1, idle);
    CHECK(lost == evicted_before);
    CHECK(table->dropped() == refused);
    CHECK(table->held(noon + 1, idle) == 1000);
    CHECK(table->evicted() - evicted_before == 100'000 - sessions - refused - (1000 - (sessions - lost)));
    // Some set is full of sessions that were given, or this has shown less.
    CHECK(refused > 0);
    // They can still be given, to new ones too.
    CHECK(table.put(100'001, given, noon + 1));
    CHECK(table.found(100'001, 100'001, noon + 1) == "g");
}

TEST_CASE("a million ids leave 65,536 places full of the latest, all of them right", "[session_table]") {
    constexpr std::uint64_t ids = 1'000'000 / tsan_divisor;
    constexpr std::size_t places = 65'536;
    const Table table(places);
    for (std::uint64_t n = 0; n < ids; ++n)
        if (!table.put(n, given, noon + static_cast<std::uint32_t>(n / 1000))) FAIL("not stored");
    const std::uint32_t now = noon + ids / 1000;
    CHECK(table->held(now, idle) == places);
    CHECK(table->evicted() == ids - places);
    CHECK(table->dropped() == 0);
    std::uint64_t found = 0, wrong = 0, late = 0;
    for (std::uint64_t n = 0; n < ids; ++n) {
        const auto there = table->find(key(n), noon, idle);
        if (!there) continue;
        ++found;
        wrong += *there != Found{worker(n), given};
        late += n >= ids - 2 * places;
    }
    CHECK(found == places);
    CHECK(wrong == 0);
    // Of the last 131,072, which are 16 a set on average, each set has its last eight: 1% of them are older.
    CHECK(late > places / 100 * 98);
}

TEST_CASE("keys are shared out evenly, whatever the number of sets", "[session_table]") {
    // With half as many keys as places, on average four a set, few sets have more than eight.
    const std::size_t places = GENERATE(1000U, 4096U, 100'000U);
    const Table table(places);
    for (std::uint64_t n = 0; n < places / 2; ++n) table.put(n, given, noon);
    const double lost = static_cast<double>(table->evicted()) / static_cast<double>(places / 2);
    // Poisson: of four expected, those above eight are 0.85%.
    CHECK(lost < 0.02);
    CHECK(table->held(noon, idle) + table->evicted() == places / 2);
}

TEST_CASE("a larger table takes over all sessions that are alive, as they are", "[session_table]") {
    const Table old(16);
    const Table table(4096);
    for (std::uint64_t n = 1; n <= 4; ++n)
        old.put(n, n % 2 == 0 ? given : placed, noon + static_cast<std::uint32_t>(n));
    old.put(5, given, noon + 4 - idle - 1);
    table->inherit(*old, noon + 4, idle);
    CHECK(table->held(noon + 4, idle) == 4);
    CHECK(table->evicted() == 0);
    CHECK(table->dropped() == 0);
    // Their last use is what it was.
    for (std::uint32_t n = 1; n <= 4; ++n) CHECK(table->held(noon + n + idle, idle) == 5 - n);
    CHECK(table.found(1, 5, noon + 4) == "pgpg-");
}

TEST_CASE("a smaller table takes over what it would have kept", "[session_table]") {
    const Table old(64);
    const Table table(8);
    // 1 … 5 are given, 6 … 20 placed, the later the more recent. 64 places hold 20 keys.
    for (std::uint64_t n = 1; n <= 20; ++n) old.put(n, n <= 5 ? given : placed, noon + static_cast<std::uint32_t>(n));
    // Those that are over are not missed.
    for (std::uint64_t n = 21; n <= 30; ++n) old.put(n, given, noon + 19 - idle);
    REQUIRE(old->held(noon + 20, idle) == 20);
    table->inherit(*old, noon + 20, idle);
    CHECK(table.found(1, 20, noon) == "ggggg------------ppp");
    CHECK(table->evicted() == 12);
    CHECK(table->dropped() == 0);
}

TEST_CASE("a table takes over counts, and what it knows already stays", "[session_table]") {
    const Table old(8);
    for (std::uint64_t n = 1; n <= 11; ++n) old.put(n, given, noon);
    for (std::uint64_t n = 20; n <= 21; ++n) old.put(n, placed, noon);
    REQUIRE(old->evicted() == 3);
    REQUIRE(old->dropped() == 2);
    const Table table(16'384);
    table->put(key(11), 42, noon, idle, placed);
    table->inherit(*old, noon, idle);
    CHECK(table->evicted() == 3);
    CHECK(table->dropped() == 2);
    CHECK(table->find(key(11), noon, idle) == Found{42, placed});
    CHECK(table->held(noon, idle) == 8);
}

TEST_CASE("of threads that place an id at once one comes first, and the id stands in one place", "[session_table]") {
    constexpr std::size_t rounds = 4000 / tsan_divisor;
    const Origin origin = GENERATE(placed, given);
    const Table table(8 * rounds);
    std::vector<std::uint8_t> stored(2 * rounds);
    in_step(rounds, [&](std::size_t thread, std::size_t round) {
        stored[2 * round + thread] = table->put(key(round), thread, noon, idle, origin);
    });
    std::size_t wrong = 0, neither = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        const auto found = table->find(key(round), noon, idle);
        const bool first = stored[2 * round] != 0, second = stored[2 * round + 1] != 0;
        if (!first && !second) ++neither;
        if (origin == placed) wrong += first && second;
        wrong += !found || (found->worker == 0 ? !first : !second);
    }
    CHECK(wrong == 0);
    CHECK(neither == 0);
    // Eight times as many places as keys: there is room for all, and for none twice.
    CHECK(table->evicted() == 0);
    CHECK(table->held(noon, idle) == rounds);
}

TEST_CASE("threads that put into the same sets lose nothing but what is counted", "[session_table]") {
    constexpr std::uint64_t each = 50'000 / tsan_divisor;
    const Table table(16);
    std::atomic<std::uint64_t> stored{0};
    const auto put = [&](std::uint64_t thread) {
        std::uint64_t mine = 0;
        for (std::uint64_t n = 0; n < each; ++n) mine += table.put(n * 3 + thread, n % 3 == 0 ? placed : given, noon);
        stored += mine;
    };
    std::thread first(put, 0), second(put, 1);
    put(2);
    first.join();
    second.join();
    CHECK(table->held(noon, idle) == 16);
    CHECK(stored + table->dropped() == 3 * each);
    CHECK(stored == table->evicted() + 16);
}

TEST_CASE("who looks up while others write finds the right worker or none", "[session_table]") {
    // Many keys for few places, so that they take each other's all the time; each moves between two workers, too.
    constexpr std::uint64_t keys = 40;
    constexpr std::uint64_t times = 400'000 / (tsan_divisor * tsan_divisor);
    const Table table(16);
    std::atomic<int> writing{2};
    const auto write = [&](std::uint64_t seed) {
        Numbers numbers(seed);
        for (std::uint64_t i = 0; i < times; ++i) {
            const std::uint64_t n = numbers.next(0, keys - 1);
            table->put(key(n), worker(n + keys * (i % 2)), noon + static_cast<std::uint32_t>(i), idle,
                       i % 3 == 0 ? placed : given);
        }
        --writing;
    };
    std::thread first(write, 1), second(write, 1'000'000'000);
    std::uint64_t found = 0, wrong = 0;
    for (std::uint64_t i = 0; writing > 0; ++i) {
        const std::uint64_t n = i % keys;
        const auto there = table->find(key(n), noon, idle);
        found += there.has_value();
        wrong += there && there->worker != worker(n) && there->worker != worker(n + keys);
    }
    first.join();
    second.join();
    CHECK(wrong == 0);
    CHECK(found > 0);
}

TEST_CASE("a session in use is not lost to those who use it at once", "[session_table]") {
    constexpr std::uint32_t times = 20'000 / tsan_divisor;
    const Table table(8);
    for (std::uint64_t n = 1; n <= 8; ++n) table.put(n, given, noon);
    std::uint64_t missed[2] = {0, 0};
    in_step(2, [&](std::size_t thread, std::size_t) {
        for (std::uint32_t i = 0; i < times; ++i) missed[thread] += !table->find(key(1 + i % 8), noon + i, idle);
    });
    CHECK(missed[0] == 0);
    CHECK(missed[1] == 0);
    CHECK(table->held(noon + times, 16) == 8);
}

TEST_CASE("a claim of a process that was killed is kept for seconds and then taken over", "[session_table]") {
    // A process that does nothing but write is most often killed while it has the claim.
    const std::uint32_t later =
        GENERATE(SessionTable::longest_claim + 1, 1'000'000U, 0U - SessionTable::longest_claim - 1);
    int stuck = 0;
    for (int i = 0; i < 50; ++i) {
        const Table table(8);
        {
            Victim victim([&](std::uint64_t n) { table.put(n, given, noon); });
            wait_for_evictions(*table, 1);
            victim.kill();
        }
        const std::uint64_t dropped = table->dropped();
        if (table.put(1ULL << 40, given, noon)) continue;
        ++stuck;
        CHECK(table->dropped() == dropped + 1);
        CHECK_FALSE(table.put(1ULL << 40, given, noon + SessionTable::longest_claim));
        CHECK_FALSE(table.put(1ULL << 40, given, noon - SessionTable::longest_claim));
        CHECK(table->dropped() == dropped + 3);
        // One that is in the table is found all the same, if need be after the claim has been taken over.
        CHECK(table.put(1ULL << 40, given, noon + later));
        CHECK(table.found(1ULL << 40, 1ULL << 40, noon + later) == "g");
        // The claim has been given back.
        CHECK(table.put(1ULL << 41, given, noon + later));
    }
    CHECK(stuck > 0);
}

TEST_CASE("processes that are killed while they write leave no session on a wrong worker", "[session_table]") {
    constexpr std::uint64_t keys = 24;
    constexpr int times = 60 / tsan_divisor;
    const Table table(8);
    std::uint64_t found = 0, wrong = 0, strangers = 0;
    const auto look = [&](std::uint32_t now) {
        for (std::uint64_t n = 0; n < keys; ++n) {
            const auto there = table->find(key(n), now, idle);
            found += there.has_value();
            wrong += there && there->worker != worker(n) && there->worker != worker(n + keys);
        }
    };
    std::uint32_t now = noon;
    for (int i = 0; i < times; ++i, now += SessionTable::longest_claim + 1) {
        const auto write = [&, now, i](std::uint64_t round) {
            const std::uint64_t n = mix64(round + static_cast<std::uint64_t>(i)) % keys;
            table->put(key(n), worker(n + keys * (round % 2)), now, idle, given);
        };
        Victim one(write), other(write);
        const std::uint64_t before = table->evicted();
        for (int looks = 0; looks < 20 || (table->evicted() < before + 100 && looks < 1'000); ++looks) look(now);
        one.kill();
        other.kill();
        look(now);
        // What stands there is what was put, all of it: another table that takes it over has no key that nobody put.
        const Table copy(8);
        copy->inherit(*table, now, idle);
        std::size_t known = 0;
        for (std::uint64_t n = 0; n < keys; ++n) known += copy->find(key(n), now, idle).has_value();
        strangers += copy->held(now, idle) - known;
    }
    CHECK(wrong == 0);
    CHECK(strangers == 0);
    CHECK(found > 0);
    for (std::uint64_t n = 100; n < 108; ++n) CHECK(table.put(n, given, now));
    CHECK(table.found(100, 107, now) == "gggggggg");
    CHECK(table->held(now, idle) == 8);
}

}  // namespace lbsticky
