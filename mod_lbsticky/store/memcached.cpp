// memcached, by libmemcached and the text protocol.
#include <libmemcached/memcached.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "store/client.hpp"
#include "store/entry.hpp"

namespace lbsticky {
namespace {

using Outcome = StoreAnswer::Outcome;

// libmemcached makes room for as much as an answer claims to have before it reads it. Its own structures and buffers
// are smaller than this.
constexpr std::size_t most_memory = 65536;

void* allocate(const memcached_st*, const std::size_t size, void*) noexcept {
    return size <= most_memory ? std::malloc(size) : nullptr;
}
void release(const memcached_st*, void* memory, void*) noexcept {
    std::free(memory);
}
void* reallocate(const memcached_st*, void* memory, const std::size_t size, void*) noexcept {
    return size <= most_memory ? std::realloc(memory, size) : nullptr;
}
void* allocate_zeroed(const memcached_st*, std::size_t count, const std::size_t size, void*) noexcept {
    return size == 0 || count <= most_memory / size ? std::calloc(count, size) : nullptr;
}

struct Disconnect {
    void operator()(memcached_st* connection) const noexcept { memcached_free(connection); }
};
struct Free {
    void operator()(char* memory) const noexcept { std::free(memory); }
};

// An answer that says that memcached understood and will not.
bool is_refusal(memcached_return_t result) noexcept {
    switch (result) {
        case MEMCACHED_ERROR:
        case MEMCACHED_CLIENT_ERROR:
        case MEMCACHED_SERVER_ERROR:
        case MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE:
        case MEMCACHED_E2BIG: return true;
        default: return false;
    }
}

class MemcachedClient final : public StoreClient {
public:
    explicit MemcachedClient(StoreSettings settings) : settings_(std::move(settings)) {}

    StoreAnswer get(std::string_view key) noexcept override {
        return guarded([&]() -> StoreAnswer {
            std::size_t size = 0;
            std::uint32_t flags = 0;
            memcached_return_t result = MEMCACHED_SUCCESS;
            const std::unique_ptr<char, Free> value(
                memcached_get(&connection(), key.data(), key.size(), &size, &flags, &result));
            if (result == MEMCACHED_NOTFOUND) return {Outcome::absent, {}};
            if (result != MEMCACHED_SUCCESS) return failure_of(result);
            if (size > longest_value) return {Outcome::lost, "a value is too long"};
            return {Outcome::found, value ? std::string(value.get(), size) : std::string()};
        });
    }

    StoreAnswer put(std::string_view key, std::string_view value, std::chrono::seconds life,
                    bool only_if_absent) noexcept override {
        return guarded([&]() -> StoreAnswer {
            const auto put = only_if_absent ? memcached_add : memcached_set;
            const auto result =
                put(&connection(), key.data(), key.size(), value.data(), value.size(), expiration(life), 0);
            const bool is_left = only_if_absent && (result == MEMCACHED_NOTSTORED || result == MEMCACHED_DATA_EXISTS);
            if (result != MEMCACHED_SUCCESS && !is_left) return failure_of(result);
            return {Outcome::stored, {}};
        });
    }

private:
    // A time of over 30 days is taken for a date (protocol.txt, "Expiration times").
    static time_t expiration(std::chrono::seconds life) noexcept {
        constexpr std::chrono::seconds longest = std::chrono::hours(24 * 30);
        return static_cast<time_t>(life.count()) + (life > longest ? std::time(nullptr) : 0);
    }

    template <typename Attempt>
    StoreAnswer guarded(Attempt&& attempt) noexcept {
        try {
            StoreAnswer answer = attempt();
            if (!answer.is_good()) connection_.reset();
            return answer;
        } catch (...) {
            connection_.reset();
            return failure(Outcome::lost, "no memory");
        }
    }

    memcached_st& connection() {
        if (connection_) return *connection_;
        connection_.reset(memcached_create(nullptr));
        if (!connection_) throw std::bad_alloc();
        memcached_st* made = connection_.get();
        memcached_set_memory_allocators(made, allocate, release, reallocate, allocate_zeroed, nullptr);
        const auto set = [made](memcached_behavior_t behavior, std::int64_t value) {
            memcached_behavior_set(made, behavior, static_cast<std::uint64_t>(value));
        };
        const auto timeout = settings_.timeout.count();
        set(MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, std::max(connect_limit, settings_.timeout).count());
        set(MEMCACHED_BEHAVIOR_POLL_TIMEOUT, timeout);
        set(MEMCACHED_BEHAVIOR_SND_TIMEOUT, timeout * 1000);  // in microseconds
        set(MEMCACHED_BEHAVIOR_RCV_TIMEOUT, timeout * 1000);
        set(MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
        set(MEMCACHED_BEHAVIOR_RETRY_TIMEOUT, 0);  // who is asked again is decided elsewhere
        set(MEMCACHED_BEHAVIOR_DEAD_TIMEOUT, 0);
        if (memcached_server_add(made, settings_.host.c_str(), settings_.port) != MEMCACHED_SUCCESS) {
            connection_.reset();
            throw std::bad_alloc();
        }
        return *connection_;
    }

    StoreAnswer failure_of(memcached_return_t result) const {
        if (result == MEMCACHED_TIMEOUT || memcached_last_error_errno(connection_.get()) == ETIMEDOUT)
            return {Outcome::silent, "no answer in time"};
        if (result == MEMCACHED_MEMORY_ALLOCATION_FAILURE) return {Outcome::lost, "a value is too long"};
        return {is_refusal(result) ? Outcome::refused : Outcome::lost, memcached_strerror(nullptr, result)};
    }

    StoreSettings settings_;
    std::unique_ptr<memcached_st, Disconnect> connection_;
};

}  // namespace

std::unique_ptr<StoreClient> make_memcached_client(const StoreSettings& settings) {
    return std::make_unique<MemcachedClient>(settings);
}

}  // namespace lbsticky
