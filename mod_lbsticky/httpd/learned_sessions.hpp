// Which members the sessions are on whose ids cannot say it: a table, and the store behind it that front ends share.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/claims.hpp"
#include "core/session_table.hpp"
#include "httpd/apache.hpp"
#include "store/store.hpp"

namespace lbsticky {

// LBStickyTable.
struct TableSettings {
    std::size_t sessions = 65'536;
    std::chrono::seconds idle{3600};  // how long a session is remembered after its last use
};

// What all processes share of a store.
struct alignas(64) SharedStore {
    StoreCounts counts;
    // The second, by the table's clock, in which the store was last found to be back, and may have forgotten
    // everything.
    std::atomic<std::uint32_t> back_at;
};

// What learned sessions lie in. Copies of a balancer, which have its workers, share it.
struct LearnedMemory {
    SessionTable* table = nullptr;  // null: nothing is learned
    std::size_t places = 0;         // that the table was made for
    SharedStore* store = nullptr;
};

// The second of the table's clock, at least 1.
std::uint32_t table_time() noexcept;

// A balancer's learned sessions. Any number of threads may call anything at once, but for start().
class LearnedSessions {
public:
    // Random bytes that nobody else knows: of SipHash, and what XXH3 calls its secret, of at least 136 bytes.
    struct HashKeys {
        std::array<unsigned char, 16> sip;
        std::array<unsigned char, 192> xxh3;
    };

    // The memory is as old as the keys, which must outlive it. `balancer` is its name without "balancer://". Throws
    // std::bad_alloc.
    LearnedSessions(const LearnedMemory& memory, const TableSettings& settings, std::optional<StoreSettings> store,
                    const HashKeys& keys, std::string balancer);

    // Opens the store, if there is one, until the end of the pool; `server` is for what is logged. For a new process,
    // before it has threads that ask. Throws std::bad_alloc.
    void start(apr_pool_t* process, server_rec* server);

    // A session id of a request, or one that a member gives. Views.
    struct Id {
        const SessionName* name;
        std::string_view text;
        SessionKey key;
    };

    // What is known of a request's session.
    struct Recalled {
        Id id;
        std::optional<std::uint64_t> worker;  // hash64 of its route_id
        bool is_due = false;                  // the store is to be told again that it is in use
        bool is_guess = false;                // it was placed there, and the store has not said yet that it agrees
    };

    // Looks a request's session up in the table, if it has an id that is learned, and notes in the claims where it is:
    // of several values the first that a worker gave, else the first that is known. It is used now, unless somebody
    // only looks. No lock; a keyed hash of each value, and a look into the table.
    std::optional<Recalled> recall(Claims& claims, bool is_used = true) noexcept;

    // Whether there is a store to ask for what recall() has not found.
    bool has_store() const noexcept { return store_ != nullptr; }

    // Whether to ask it: also for what was placed when it knew nothing, or could not be asked. What another front end
    // has learned may have been on its way to it.
    bool is_to_ask(const Recalled& recalled) const noexcept {
        return has_store() && (!recalled.worker || recalled.is_guess);
    }

    // Asks the store for what recall() has not found. Waits no longer than its timeout.
    void ask_store(Recalled& recalled, Claims& claims) noexcept;

    // The session of a request is on that worker, by what was recalled or since it was placed there.
    void keep(const Recalled& recalled, const proxy_worker& worker) noexcept;

    // A worker gives a client that id.
    void learn(const SessionName& name, std::string_view id, const proxy_worker& worker) noexcept;

    // For reports.
    const SessionTable& table() const noexcept { return table_; }
    std::size_t held() const noexcept { return table_.held(table_time(), idle_); }
    std::uint32_t idle() const noexcept { return idle_; }  // seconds
    const std::optional<StoreSettings>& store_settings() const noexcept { return store_settings_; }
    const StoreCounts& store_counts() const noexcept { return shared_store_.counts; }

private:
    Id id_of(const SessionName& name, std::string_view text) const noexcept;
    void put_into_store(const Id& id, std::string_view route_id, bool only_if_absent);
    std::string store_key_of(const Id& id) const;
    bool is_due(std::uint32_t last_use, std::uint32_t now) noexcept;

    SessionTable& table_;
    SharedStore& shared_store_;
    const std::uint32_t idle_;
    const std::optional<StoreSettings> store_settings_;
    const HashKeys& keys_;
    const std::string balancer_;
    std::unique_ptr<Store> store_;
    std::atomic<std::uint64_t> epoch_{0};  // of the store, that was seen last
};

}  // namespace lbsticky
