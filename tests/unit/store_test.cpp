// What a store does that no real one can be made to do. tests/store has the real ones.
#include "store/store.hpp"

#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "store/entry.hpp"

namespace lbsticky {
namespace {

using namespace std::chrono_literals;
using Outcome = StoreAnswer::Outcome;
using Clock = std::chrono::steady_clock;

// What a client is made to do; outlives the client, and the store.
struct Script {
    std::mutex mutex;
    std::condition_variable changed;
    bool hangs = false;  // no call returns, as in a resolver that hangs
    bool is_in_call = false;
    bool refuses_values = false;
    bool is_gone = false;
    bool has_no_client = false;  // any more
    std::map<std::string, std::string, std::less<>> values;
    int gets = 0;
    bool has_signals_blocked = false;
    std::vector<StoreEvent> events;

    void set(bool Script::*what, bool value) {
        const std::lock_guard lock(mutex);
        this->*what = value;
        changed.notify_all();
    }

    // Waits for something for ten seconds at most.
    template <typename Condition>
    bool wait_for(Condition&& condition) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, 10s, condition);
    }
};

class ScriptedClient final : public StoreClient {
public:
    explicit ScriptedClient(Script* script) : script_(script) {}
    ScriptedClient(const ScriptedClient&) = delete;
    ScriptedClient& operator=(const ScriptedClient&) = delete;
    ~ScriptedClient() override { script_->set(&Script::has_no_client, true); }

    StoreAnswer get(std::string_view key) noexcept override {
        std::unique_lock lock(script_->mutex);
        ++script_->gets;
        if (auto answer = begin(lock)) return *answer;
        const auto found = script_->values.find(key);
        if (found == script_->values.end()) return {Outcome::absent, {}};
        return {Outcome::found, found->second};
    }

    StoreAnswer put(std::string_view key, std::string_view value, std::chrono::seconds, bool) noexcept override {
        std::unique_lock lock(script_->mutex);
        if (auto answer = begin(lock)) return *answer;
        if (script_->refuses_values) return {Outcome::refused, "full"};
        script_->values[std::string(key)] = value;
        script_->changed.notify_all();
        return {Outcome::stored, {}};
    }

private:
    std::optional<StoreAnswer> begin(std::unique_lock<std::mutex>& lock) {
        sigset_t blocked;
        pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        script_->has_signals_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR1) &&
                                       sigismember(&blocked, SIGCHLD) && !sigismember(&blocked, SIGSEGV);
        script_->is_in_call = true;
        script_->changed.notify_all();
        script_->changed.wait(lock, [this] { return !script_->hangs; });
        script_->is_in_call = false;
        if (script_->is_gone) return StoreAnswer{Outcome::lost, "gone"};
        return std::nullopt;
    }

    Script* script_;
};

struct Fixture {
    std::unique_ptr<Script> script = std::make_unique<Script>();
    StoreCounts counts{};

    std::unique_ptr<Store> make(StoreLimits limits = {}) {
        return std::make_unique<Store>(std::make_unique<ScriptedClient>(script.get()), limits, counts,
                                       [script = script.get()](StoreEvent event, std::string_view) {
                                           const std::lock_guard lock(script->mutex);
                                           script->events.push_back(event);
                                           script->changed.notify_all();
                                       });
    }

    bool is_told(const std::vector<StoreEvent>& events) {
        return script->wait_for([&] { return script->events == events; });
    }
};

// A timeout that no test runs into by chance.
StoreLimits patient() {
    StoreLimits limits;
    limits.timeout = 10s;
    return limits;
}

}  // namespace

TEST_CASE("a store that is never used has no thread, and ends", "[store]") {
    Fixture fixture;
    CHECK(fixture.make()->epoch() == 0);
    CHECK(fixture.counts.state == StoreCounts::State::unknown);
}

TEST_CASE("what was put is found, by a thread that takes no signals", "[store]") {
    Fixture fixture;
    const auto store = fixture.make(patient());
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    store->put("key", "value", 60s, false);
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    CHECK(sigismember(&before, SIGTERM) == sigismember(&after, SIGTERM));
    REQUIRE(fixture.script->wait_for([&] { return fixture.script->values.size() == 1; }));
    CHECK(store->look_up("key") == "value");
    CHECK(store->look_up("other") == std::nullopt);
    CHECK(fixture.counts.hits == 1);
    CHECK(fixture.counts.misses == 1);
    CHECK(fixture.counts.state == StoreCounts::State::here);
    const std::lock_guard lock(fixture.script->mutex);
    CHECK(fixture.script->has_signals_blocked);
}

TEST_CASE("what no store could keep is dropped", "[store]") {
    Fixture fixture;
    const auto store = fixture.make();
    store->put("", "value", 60s, false);
    store->put(std::string(longest_key + 1, 'k'), "value", 60s, false);
    store->put("key", std::string(longest_value + 1, 'v'), 60s, false);
    store->put("key", "value", 0s, false);
    CHECK(fixture.counts.dropped == 4);
}

TEST_CASE("a thread that is stuck is a store that is away, until it returns", "[store]") {
    Fixture fixture;
    fixture.script->hangs = true;
    const auto store = fixture.make();
    store->put("key", "value", 60s, false);
    REQUIRE(fixture.script->wait_for([&] { return fixture.script->is_in_call; }));
    std::this_thread::sleep_for(50ms);  // twice the timeout, and more
    for (int i = 0; i < 100; ++i) CHECK(store->look_up("key") == std::nullopt);
    CHECK(fixture.counts.while_away == 100);
    fixture.script->set(&Script::hangs, false);
    REQUIRE(fixture.script->wait_for([&] { return fixture.script->values.size() == 1; }));
    while (!store->look_up("key")) std::this_thread::sleep_for(1ms);
    CHECK(fixture.counts.failures == 0);
}

TEST_CASE("a thread that is stuck is left behind at the end, and touches nothing any more", "[store]") {
    Fixture fixture;
    fixture.script->hangs = true;
    fixture.script->is_gone = true;
    auto counts = std::make_unique<StoreCounts>();
    auto store = std::make_unique<Store>(std::make_unique<ScriptedClient>(fixture.script.get()), StoreLimits{}, *counts,
                                         [&counts](StoreEvent, std::string_view) { ++counts->failures; });
    store->put("key", "value", 60s, false);
    REQUIRE(fixture.script->wait_for([&] { return fixture.script->is_in_call; }));
    const auto begin = Clock::now();
    store.reset();
    CHECK(Clock::now() - begin < 5s);
    counts.reset();
    fixture.script->set(&Script::hangs, false);
    CHECK(fixture.script->wait_for([&] { return fixture.script->has_no_client; }));  // it goes with the thread
}

TEST_CASE("it ends in the handler of a signal too, whatever that has met", "[store]") {
    static Store* ending = nullptr;
    static std::atomic<bool> has_ended;
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = [](int) {
        ending->end();
        has_ended = true;
    };
    sigaction(SIGUSR2, &action, &before);
    for (int round = 0; round < 40; ++round) {
        Fixture fixture;
        const auto store = fixture.make(patient());
        ending = store.get();
        has_ended = false;
        std::atomic<bool> has_begun = false;
        std::thread putting([&] {
            while (!has_ended) {
                store->put("key", "value", 60s, false);
                has_begun = true;
            }
        });
        while (!has_begun) std::this_thread::yield();
        std::this_thread::sleep_for(round * 10us);
        pthread_kill(putting.native_handle(), SIGUSR2);
        const auto begin = Clock::now();
        while (!has_ended && Clock::now() - begin < 10s) std::this_thread::sleep_for(1ms);
        if (!has_ended) std::abort();  // or the thread would be waited for
        putting.join();
    }
    sigaction(SIGUSR2, &before, nullptr);
    SUCCEED();
}

TEST_CASE("of too many values the oldest are dropped", "[store]") {
    Fixture fixture;
    fixture.script->hangs = true;
    StoreLimits limits;
    limits.queue = 100;
    const auto store = fixture.make(limits);
    store->put("first", "value", 60s, false);
    REQUIRE(fixture.script->wait_for([&] { return fixture.script->is_in_call; }));  // it is in no queue now
    for (int i = 0; i < 250; ++i) store->put("key" + std::to_string(i), "value", 60s, false);
    CHECK(fixture.counts.dropped == 150);
    fixture.script->set(&Script::hangs, false);
    REQUIRE(fixture.script->wait_for([&] { return fixture.script->values.size() == 101; }));
    const std::lock_guard lock(fixture.script->mutex);
    CHECK(fixture.script->values.count("first") == 1);
    CHECK(fixture.script->values.count("key149") == 0);
    CHECK(fixture.script->values.count("key150") == 1);
}

TEST_CASE("who goes and comes back is told of once each, and gets what waited", "[store]") {
    Fixture fixture;
    fixture.script->is_gone = true;
    const auto store = fixture.make(patient());
    for (int i = 0; i < 10; ++i) store->put("key" + std::to_string(i), "value", 60s, false);
    CHECK(fixture.is_told({StoreEvent::away}));
    CHECK(fixture.counts.state == StoreCounts::State::away);
    CHECK(store->look_up("key1") == std::nullopt);
    CHECK(fixture.counts.while_away == 1);
    fixture.script->set(&Script::is_gone, false);
    CHECK(fixture.is_told({StoreEvent::away, StoreEvent::back}));
    CHECK(fixture.script->wait_for([&] { return fixture.script->values.size() == 10; }));
    CHECK(fixture.counts.state == StoreCounts::State::here);
    CHECK(store->epoch() == 1);
}

TEST_CASE("a store that refuses values is asked nevertheless", "[store]") {
    Fixture fixture;
    fixture.script->refuses_values = true;
    fixture.script->values.emplace("old", "value");
    const auto store = fixture.make(patient());
    store->put("new", "value", 60s, false);
    CHECK(fixture.is_told({StoreEvent::full}));
    CHECK(store->look_up("old") == "value");
    fixture.script->set(&Script::refuses_values, false);
    CHECK(fixture.is_told({StoreEvent::full, StoreEvent::has_room}));
    CHECK(store->look_up("new") == "value");
    CHECK(store->epoch() == 0);
}

TEST_CASE("of several processes one tells", "[store]") {
    Fixture fixture;
    fixture.script->is_gone = true;
    const auto one = fixture.make(patient());
    const auto other = fixture.make(patient());
    one->put("one", "value", 60s, false);
    other->put("other", "value", 60s, false);
    // Each has failed three times by then, and once more.
    while (fixture.counts.failures < 8) std::this_thread::sleep_for(1ms);
    CHECK(fixture.is_told({StoreEvent::away}));
    fixture.script->set(&Script::is_gone, false);
    CHECK(fixture.script->wait_for([&] { return fixture.script->values.size() == 2; }));
    CHECK(fixture.is_told({StoreEvent::away, StoreEvent::back}));
    CHECK(one->epoch() == 1);
    CHECK(other->epoch() == 1);
}

TEST_CASE("of several processes one tells of a store that is full", "[store]") {
    Fixture fixture;
    fixture.script->refuses_values = true;
    const auto one = fixture.make(patient());
    const auto other = fixture.make(patient());
    one->put("one", "value", 60s, false);
    other->put("other", "value", 60s, false);
    while (fixture.counts.failures < 8) std::this_thread::sleep_for(1ms);
    CHECK(fixture.is_told({StoreEvent::full}));
    fixture.script->set(&Script::refuses_values, false);
    CHECK(fixture.script->wait_for([&] { return fixture.script->values.size() == 2; }));
    CHECK(fixture.is_told({StoreEvent::full, StoreEvent::has_room}));
}

TEST_CASE("many threads may ask and put at once", "[store]") {
    Fixture fixture;
    StoreLimits limits = patient();
    limits.look_ups_a_second = 1'000'000;
    const auto store = fixture.make(limits);
    std::vector<std::thread> threads;
    std::atomic<int> found = 0;
    for (int thread = 0; thread < 8; ++thread)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 100; ++i) {
                const std::string key = std::to_string(thread) + ":" + std::to_string(i);
                if (store->look_up(key)) ++found;
                store->put(key, "value", 60s, true);
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(fixture.script->wait_for([&] { return fixture.script->values.size() == 800; }));
    CHECK(found == 0);
    CHECK(fixture.counts.misses == 800);
    CHECK(store->look_up("7:99") == "value");
}

}  // namespace lbsticky
