// A store that front ends share, asked without ever being waited for longer than a request can afford.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/client.hpp"

namespace lbsticky {

// What is counted about a store. It lies in memory that processes share; memory of zeros is a store of which nothing is
// known. Anyone may read at any time; no count goes down. The first six are all look-ups there were.
struct StoreCounts {
    using Count = std::atomic<std::uint64_t>;
    enum class State : std::uint32_t { unknown, here, away };
    static_assert(Count::is_always_lock_free && std::atomic<State>::is_always_lock_free,
                  "processes cannot share an atomic with a lock");

    Count hits;        // look-ups that were answered with a value
    Count misses;      // that were answered: there is none
    Count unanswered;  // that were asked in vain, or not answered in time
    Count remembered;  // not asked: it was a miss a moment ago
    Count capped;      // not asked: there were too many in this second
    Count while_away;  // not asked: the store is away
    Count stored;      // values that the store took, or had
    Count dropped;     // values it was never given: there were too many, or their life was over
    Count failures;    // of any attempt, whoever waited for it
    // What the process knows that heard last of a change, and since when, in nanoseconds of the steady clock: of the
    // store, and of whether it takes values.
    std::atomic<State> state;
    std::atomic<State> taking;
    Count state_since;
    Count taking_since;
};

// Told once each, by one of all processes that share counts.
enum class StoreEvent {
    away,      // it is not asked any more
    back,      // it is again
    full,      // it takes no values any more, but answers
    has_room,  // it takes them again
};

// What limits a store's use, beside the address' settings.
struct StoreLimits {
    std::chrono::milliseconds timeout{20};    // of a look-up
    std::uint32_t look_ups_a_second = 1'000;  // a process
    std::size_t queue = 16'384;               // values that wait to be stored: about 5 MB if all are there
};

// One for each balancer and process, with a thread of its own, which is started when it is first needed and asks the
// store one thing after the other. Look-ups and values take turns.
//
// *While the store is away* (Breaker: three failures in a row) nobody waits: only the thread tries, by a look-up of its
// own. Values stay in their queue until it is back. The same holds, by a breaker of its own, for a store that answers
// but refuses values: look-ups go on. A thread that does not return from an attempt, as from a resolver that hangs, is
// like a store that is away, until it returns.
//
// *At the end* values that wait are sent for half a second, unless the store is away. A thread that is still stuck
// after another half second is left behind: it cannot be ended from outside without harm. It has nothing in its hands
// then but what it shares with nobody, and the process' end takes it away.
class Store {
public:
    // `reason` is of visible ASCII characters and contains no password. Called by the store's thread; must not throw,
    // nor take long, nor call the store.
    using Tell = std::function<void(StoreEvent event, std::string_view reason)>;

    // The counts must be there as long as the store. Throws std::bad_alloc.
    Store(std::unique_ptr<StoreClient> client, const StoreLimits& limits, StoreCounts& counts, Tell tell);
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    // end(). Nobody may be in a call.
    ~Store();

    // Ends the thread, after which nothing is found or stored any more. Takes a second at most, in the handler of a
    // signal too, whatever call that has met: children of mpm_prefork end in one.
    void end() noexcept;

    // The value of a key; nothing where there is none or nobody can tell in time. Waits no longer than the timeout, and
    // not at all while the store is away, for a key that was a miss in the last seconds, and beyond so many look-ups a
    // second. Any number of threads at once; throws nothing.
    std::optional<std::string> look_up(std::string_view key) noexcept;

    // Has a value stored, for `life` from now on. Waits for nobody: it is put into a queue, of which the oldest is
    // dropped if it is full. `only_if_absent`: what is there stays, and it is dropped itself if the queue is half full.
    // A key over longest_key bytes, a value over longest_value, or a life under a second is dropped. Any number of
    // threads at once; throws nothing.
    void put(std::string_view key, std::string_view value, std::chrono::seconds life, bool only_if_absent) noexcept;

    // Raised each time the store is back, or was connected to again after the connection was lost: it may have been
    // restarted, and have forgotten everything. Whoever has seen a lower one puts again what he knows. Starts at 0. Any
    // thread at any time.
    std::uint64_t epoch() const noexcept;

private:
    class Thread;
    std::shared_ptr<Thread> thread_;
};

}  // namespace lbsticky
