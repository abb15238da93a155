// Somebody who speaks to a shared store, whichever it is.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "store/address.hpp"

namespace lbsticky {

// What came of an attempt.
struct StoreAnswer {
    enum class Outcome {
        found,    // the text is the value
        absent,   // there is no such key
        stored,   // or it was there already, and was to be left
        refused,  // the store answered with an error; the text is what it said
        silent,   // no answer in time; the text says of what. Neither is known
        lost      // no connection, or one that ended, or what came makes no sense; the text says why
    };
    Outcome outcome;
    std::string text;

    bool is_good() const noexcept { return outcome <= Outcome::stored; }
};

// One connection to a store, made when it is needed and made again after each answer that is not good. A call waits at
// most for the timeout of the settings, where it has to connect for connect_limit or the timeout, whichever is longer
// (Redis: for each address of the host, and once more for AUTH and SELECT each); how long the resolver takes to find
// them, nobody can limit. One thread at a time; throws nothing. Keys are those of store_key(), values have at most
// longest_value bytes.
class StoreClient {
public:
    static constexpr std::chrono::milliseconds connect_limit{250};

    StoreClient() = default;
    StoreClient(const StoreClient&) = delete;
    StoreClient& operator=(const StoreClient&) = delete;
    virtual ~StoreClient() = default;

    virtual StoreAnswer get(std::string_view key) noexcept = 0;

    // `life`, at least 1 s: after that the store has it no more. `only_if_absent`: what is there stays.
    virtual StoreAnswer put(std::string_view key, std::string_view value, std::chrono::seconds life,
                            bool only_if_absent) noexcept = 0;
};

// By the settings' kind. Connects to nobody yet. Throws std::bad_alloc.
std::unique_ptr<StoreClient> make_redis_client(const StoreSettings& settings);
std::unique_ptr<StoreClient> make_memcached_client(const StoreSettings& settings);
inline std::unique_ptr<StoreClient> make_client(const StoreSettings& settings) {
    return settings.kind == StoreKind::redis ? make_redis_client(settings) : make_memcached_client(settings);
}

}  // namespace lbsticky
