#include "store/store.hpp"

#include <pthread.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "store/allowance.hpp"
#include "store/breaker.hpp"
#include "store/entry.hpp"
#include "store/recent_misses.hpp"

namespace lbsticky {
namespace {

using Clock = std::chrono::steady_clock;
using Outcome = StoreAnswer::Outcome;
using Lock = std::unique_lock<std::mutex>;
using namespace std::chrono_literals;

constexpr auto last_values = 500ms;  // how long values are sent at the end
constexpr auto end_limit = 1s;       // how long the end may take
constexpr auto lock_limit = 100ms;   // how long it waits for the lock, which nobody has for longer than microseconds

// While it lives, threads are started with all signals blocked but those that an instruction raises: httpd's children
// are told by signals what to do, and expect them in threads of their own.
class SignalsBlocked {
public:
    SignalsBlocked() noexcept {
        sigset_t signals;
        sigfillset(&signals);
        for (const int raised : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
            sigdelset(&signals, raised);
        pthread_sigmask(SIG_SETMASK, &signals, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

// The same moment for all processes.
std::uint64_t nanoseconds(Clock::time_point time) noexcept {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(time.time_since_epoch()).count());
}

void count(StoreCounts::Count& what) noexcept {
    what.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// What requests and the thread share. The thread owns it too, so that it can be left behind.
class Store::Thread {
public:
    Thread(std::unique_ptr<StoreClient> client, const StoreLimits& limits, StoreCounts& counts, Tell tell)
        : client_(std::move(client)),
          limits_(limits),
          counts_(&counts),
          tell_(std::move(tell)),
          allowance_(limits.look_ups_a_second) {}

    std::optional<std::string> look_up(const std::shared_ptr<Thread>& self, std::string_view key) {
        const auto begin = Clock::now();
        Lock lock(mutex_);
        if (breaker_.is_open() || is_stuck(begin)) return nothing(counts_->while_away);
        if (misses_.contains(key, begin)) return nothing(counts_->remembered);
        if (!allowance_.take(begin)) return nothing(counts_->capped);
        const auto question = std::make_shared<Question>(key, begin + limits_.timeout);
        questions_.push_back(question);
        if (!start(self)) return nothing(counts_->unanswered);
        work_.notify_one();
        question->is_over.wait_until(lock, question->deadline, [&] { return question->outcome.has_value(); });
        if (question->outcome == Outcome::absent) return nothing(counts_->misses);
        if (question->outcome != Outcome::found) {
            question->outcome = Outcome::silent;  // nobody waits for it any more
            return nothing(counts_->unanswered);
        }
        count(counts_->hits);
        return std::move(question->value);
    }

    void put(const std::shared_ptr<Thread>& self, std::string_view key, std::string_view value,
             std::chrono::seconds life, bool only_if_absent) {
        constexpr std::chrono::seconds longest_life = std::chrono::hours(24 * 3650);
        const Lock lock(mutex_);
        if (key.empty() || key.size() > longest_key || value.size() > longest_value || life < 1s) {
            count(counts_->dropped);
            return;
        }
        // A flood of ids that somebody made up is placed, and must not take the room of those that workers gave.
        if (only_if_absent && values_.size() >= limits_.queue / 2) {
            count(counts_->dropped);
            return;
        }
        misses_.forget(key);
        Value made{std::string(key), std::string(value), Clock::now() + std::min(life, longest_life), only_if_absent};
        while (!values_.empty() && values_.size() >= limits_.queue) {
            values_.pop_front();
            count(counts_->dropped);
        }
        values_.push_back(std::move(made));
        if (start(self)) work_.notify_one();
    }

    std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

    void end() {
        // The caller may be a handler of a signal that interrupted who holds the lock, and lets go of it never more.
        Lock lock(mutex_, std::defer_lock);
        for (const auto until = Clock::now() + lock_limit; !lock.try_lock();) {
            if (Clock::now() >= until) return;
            std::this_thread::sleep_for(1ms);
        }
        const auto now = Clock::now();
        send_until_ = now + last_values;
        if (!thread_.joinable()) return;
        work_.notify_one();
        const bool has_ended = ended_.wait_until(lock, now + end_limit, [this] { return has_ended_; });
        if (has_ended) {
            lock.unlock();
            thread_.join();
            return;
        }
        counts_ = &nobodys_counts_;
        thread_.detach();
        lock.unlock();
        const std::lock_guard telling(tell_mutex_);
        tell_ = nullptr;
    }

private:
    using State = StoreCounts::State;

    // A look-up that somebody waits for.
    struct Question {
        Question(std::string_view asked, Clock::time_point until) : key(asked), deadline(until) {}

        std::string key;
        Clock::time_point deadline;
        std::condition_variable is_over;
        std::optional<Outcome> outcome;  // set: nobody waits any more
        std::string value;
    };

    // A value that waits to be stored.
    struct Value {
        std::string key;
        std::string value;
        Clock::time_point end;  // of its life
        bool only_if_absent;
    };

    // All of these need the lock, but where something else is said. Who is told of something is told with the lock, or
    // the end could come, in a signal's handler, in the middle of telling.

    static std::optional<std::string> nothing(StoreCounts::Count& why) noexcept {
        count(why);
        return std::nullopt;
    }

    bool is_stuck(Clock::time_point now) const noexcept {
        return busy_since_ && now - *busy_since_ > 2 * limits_.timeout;
    }

    // Starts the thread, if there is none. False at the end, or if that cannot be done; the next call tries again.
    bool start(const std::shared_ptr<Thread>& self) noexcept {
        if (send_until_) return false;
        if (thread_.joinable()) return true;
        try {
            const SignalsBlocked blocked;
            thread_ = std::thread([self] { self->run(); });
            return true;
        } catch (...) {
            count(counts_->failures);
            questions_.clear();
            return false;
        }
    }

    // The thread.
    void run() noexcept {
        Lock lock(mutex_);
        for (bool goes_on = true; goes_on;) {
            try {
                goes_on = work(lock);
                tell(lock);
            } catch (...) {  // no memory: what was being done is given up
                if (!lock.owns_lock()) lock.lock();
                count(counts_->failures);
            }
        }
        client_.reset();
        has_ended_ = true;
        ended_.notify_one();
    }

    // Does the next thing there is to do, or waits for one. False at the end.
    bool work(Lock& lock) {
        const auto now = Clock::now();
        if (send_until_ && (*send_until_ <= now || values_.empty() || breaker_.is_open() || storing_.is_open()))
            return false;
        if (breaker_.is_open()) {
            if (now < breaker_.next_try())
                work_.wait_until(lock, breaker_.next_try());
            else
                probe(lock);
            return true;
        }
        const bool can_store = !values_.empty() && storing_.allows(now);
        if (!questions_.empty() && (!can_store || !is_turn_of_values_)) {
            is_turn_of_values_ = true;
            ask(lock);
        } else if (can_store) {
            is_turn_of_values_ = false;
            send(lock);
        } else if (!values_.empty()) {
            work_.wait_until(lock, storing_.next_try());
        } else {
            work_.wait(lock);
        }
        return true;
    }

    void ask(Lock& lock) {
        const std::shared_ptr<Question> question = std::move(questions_.front());
        questions_.pop_front();
        if (question->outcome || question->deadline <= Clock::now()) return;
        last_key_ = question->key;
        StoreAnswer answer = attempt(lock, [&] { return client_->get(question->key); });
        note(answer, breaker_);
        if (answer.outcome == Outcome::absent) misses_.remember(question->key, Clock::now());
        if (question->outcome) return;
        question->outcome = answer.outcome;
        question->value = std::move(answer.text);
        question->is_over.notify_one();
    }

    void send(Lock& lock) {
        Value value = std::move(values_.front());
        values_.pop_front();
        const auto life = std::chrono::ceil<std::chrono::seconds>(value.end - Clock::now());
        if (life < 1s) {
            count(counts_->dropped);
            return;
        }
        last_key_ = value.key;
        const StoreAnswer answer =
            attempt(lock, [&] { return client_->put(value.key, value.value, life, value.only_if_absent); });
        // Who refuses values may refuse everything.
        const bool is_full = answer.outcome == Outcome::refused && probe(lock);
        note(answer, is_full ? storing_ : breaker_);
        if (answer.is_good()) {
            count(counts_->stored);
            storing_.succeeded(Clock::now());
            if (changes(counts_->taking, counts_->taking_since, State::here) == State::away)
                events_.emplace_back(StoreEvent::has_room, "");
        } else if (values_.size() < limits_.queue) {
            values_.push_front(std::move(value));
        } else {
            count(counts_->dropped);
        }
    }

    // Whether the store answers. Any look-up will do, of a key that it may be asked for.
    bool probe(Lock& lock) {
        const StoreAnswer answer = attempt(lock, [this] { return client_->get(last_key_); });
        note(answer, breaker_);
        return answer.is_good();
    }

    // Calls the store without the lock. A connection that was good before may be closed by now, because nobody used it
    // for so long or because the store was restarted: then it is called once more, by a new one.
    template <typename Call>
    StoreAnswer attempt(Lock& lock, Call&& call) {
        busy_since_ = Clock::now();
        lock.unlock();
        StoreAnswer answer = call();
        const bool was_closed = answer.outcome == Outcome::lost && was_good_;
        if (was_closed) answer = call();
        lock.lock();
        was_lost_ = was_lost_ || was_closed;
        was_good_ = answer.is_good();
        began_ = *std::exchange(busy_since_, std::nullopt);
        took_ = Clock::now() - began_;
        return answer;
    }

    // Takes note of an answer; if it is not good, `concerned` is the breaker that it counts for.
    void note(const StoreAnswer& answer, Breaker& concerned) {
        const auto now = Clock::now();
        if (!answer.is_good()) {
            count(counts_->failures);
            was_lost_ = was_lost_ || answer.outcome == Outcome::lost;
            // Who was stuck for so long was away all the time.
            constexpr auto long_stuck = 1s;
            if (!concerned.failed(now, took_ > long_stuck)) return;
            if (&concerned == &storing_) {
                if (changes(counts_->taking, counts_->taking_since, State::away))
                    events_.emplace_back(StoreEvent::full, answer.text);
                return;
            }
            for (const auto& question : questions_) {
                question->outcome = Outcome::silent;
                question->is_over.notify_one();
            }
            questions_.clear();
            if (changes(counts_->state, counts_->state_since, State::away))
                events_.emplace_back(StoreEvent::away, answer.text);
            return;
        }
        const bool is_back = breaker_.succeeded(now);
        if (is_back || std::exchange(was_lost_, false)) epoch_.fetch_add(1, std::memory_order_acq_rel);
        was_lost_ = false;
        if (changes(counts_->state, counts_->state_since, State::here) == State::away)
            events_.emplace_back(StoreEvent::back, "");
    }

    // What the last attempt says, to all processes: nothing new if it began before another one said something else.
    // Returns what was known before, if that changes.
    std::optional<State> changes(std::atomic<State>& what, StoreCounts::Count& since, State to) noexcept {
        if (what.load(std::memory_order_relaxed) == to) return std::nullopt;
        if (nanoseconds(began_) < since.load(std::memory_order_relaxed)) return std::nullopt;
        const State before = what.exchange(to);
        if (before == to) return std::nullopt;
        since.store(nanoseconds(Clock::now()), std::memory_order_relaxed);
        return before;
    }

    // Tells what happened, without the lock.
    void tell(Lock& lock) {
        if (events_.empty()) return;
        const auto events = std::exchange(events_, {});
        lock.unlock();
        {
            const std::lock_guard telling(tell_mutex_);
            for (const auto& [event, reason] : events)
                if (tell_) tell_(event, reason);
        }
        lock.lock();
    }

    std::mutex mutex_;
    std::unique_ptr<StoreClient> client_;  // the thread's
    const StoreLimits limits_;
    StoreCounts* counts_;
    StoreCounts nobodys_counts_{};  // what a thread counts that was left behind
    std::mutex tell_mutex_;         // taken without the other one
    Tell tell_;

    std::thread thread_;
    std::condition_variable work_;   // the thread waits for something to do
    std::condition_variable ended_;  // the end waits for the thread
    bool has_ended_ = false;
    std::optional<Clock::time_point> send_until_;  // set: it is to end

    std::deque<std::shared_ptr<Question>> questions_;
    std::deque<Value> values_;
    bool is_turn_of_values_ = false;
    RecentMisses misses_;
    Allowance allowance_;

    Breaker breaker_;                              // for the store as such
    Breaker storing_;                              // for a store that answers, but refuses values
    std::optional<Clock::time_point> busy_since_;  // the beginning of the attempt that is being made
    Clock::time_point began_;                      // the last one that ended
    Clock::duration took_{};                       // the same
    std::string last_key_;                         // that it was asked about
    bool was_good_ = false;                        // the last answer, and so is the connection
    bool was_lost_ = false;                        // the connection, since the last success
    std::vector<std::pair<StoreEvent, std::string>> events_;
    std::atomic<std::uint64_t> epoch_{0};
};

Store::Store(std::unique_ptr<StoreClient> client, const StoreLimits& limits, StoreCounts& counts, Tell tell)
    : thread_(std::make_shared<Thread>(std::move(client), limits, counts, std::move(tell))) {}

Store::~Store() {
    end();
}

void Store::end() noexcept {
    try {
        thread_->end();
    } catch (...) {
        // Then it is left behind.
    }
}

// No memory, or a mutex that fails: as if nobody had answered.
std::optional<std::string> Store::look_up(std::string_view key) noexcept {
    try {
        return thread_->look_up(thread_, key);
    } catch (...) {
        return std::nullopt;
    }
}

void Store::put(std::string_view key, std::string_view value, std::chrono::seconds life, bool only_if_absent) noexcept {
    try {
        thread_->put(thread_, key, value, life, only_if_absent);
    } catch (...) {
        // Then it is not stored.
    }
}

std::uint64_t Store::epoch() const noexcept {
    return thread_->epoch();
}

}  // namespace lbsticky
