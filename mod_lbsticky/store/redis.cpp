// Redis, and whoever speaks its protocol (Valkey), by hiredis' blocking interface.
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "store/client.hpp"
#include "store/entry.hpp"
#include "store/failed.hpp"

namespace lbsticky {
namespace {

using Outcome = StoreAnswer::Outcome;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Disconnect {
    void operator()(redisContext* connection) const noexcept { redisFree(connection); }
};
struct FreeReply {
    void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using RedisConnection = std::unique_ptr<redisContext, Disconnect>;
using Reply = std::unique_ptr<redisReply, FreeReply>;

timeval to_timeval(milliseconds time) noexcept {
    return {static_cast<time_t>(time.count() / 1000), static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

class RedisClient final : public StoreClient {
public:
    explicit RedisClient(StoreSettings settings) : settings_(std::move(settings)) {}

    StoreAnswer get(std::string_view key) noexcept override {
        return attempt([&]() -> StoreAnswer {
            const std::array words{std::string_view("GET"), key};
            const Reply reply = ask(words);
            if (reply->type == REDIS_REPLY_NIL) return {Outcome::absent, {}};
            if (reply->type != REDIS_REPLY_STRING) throw misunderstood("a GET", *reply);
            if (reply->len > longest_value) throw Failed{Outcome::lost, "a value is too long"};
            return {Outcome::found, std::string(reply->str, reply->len)};
        });
    }

    StoreAnswer put(std::string_view key, std::string_view value, std::chrono::seconds life,
                    bool only_if_absent) noexcept override {
        return attempt([&]() -> StoreAnswer {
            const std::string seconds = std::to_string(life.count());
            const std::array<std::string_view, 6> words{"SET", key, value, "EX", seconds, "NX"};
            const Reply reply = ask(std::span(words).first(only_if_absent ? 6 : 5));
            const bool is_left = only_if_absent && reply->type == REDIS_REPLY_NIL;
            if (!is_left && reply->type != REDIS_REPLY_STATUS) throw misunderstood("a SET", *reply);
            return {Outcome::stored, {}};
        });
    }

private:
    template <typename Attempt>
    StoreAnswer attempt(Attempt&& attempt) noexcept {
        return answer_of(std::forward<Attempt>(attempt), [this]() noexcept { connection_.reset(); });
    }

    static Failed misunderstood(std::string_view what, const redisReply& reply) {
        if (reply.type == REDIS_REPLY_ERROR) return {Outcome::refused, sayable({reply.str, reply.len})};
        return {Outcome::lost, std::string("the answer to ").append(what).append(" makes no sense")};
    }

    static Failed failure_of(const redisContext& connection, int error) {
        const bool is_late = connection.err == REDIS_ERR_IO && (error == EAGAIN || error == ETIMEDOUT);
        return {is_late ? Outcome::silent : Outcome::lost, is_late ? "no connection in time" : connection.errstr};
    }

    Reply ask(std::span<const std::string_view> words) {
        if (!connection_) connect();
        return exchange(words, settings_.timeout);
    }

    void connect() {
        const milliseconds limit = std::max(connect_limit, settings_.timeout);
        errno = 0;
        connection_.reset(redisConnectWithTimeout(settings_.host.c_str(), settings_.port, to_timeval(limit)));
        const int error = errno;
        if (!connection_) throw std::bad_alloc();
        if (connection_->err) throw failure_of(*connection_, error);
        // hiredis lets programs that the process starts inherit it.
        fcntl(connection_->fd, F_SETFD, FD_CLOEXEC);
        redisSetTimeout(connection_.get(), to_timeval(limit));  // of a read or a write; exchange() has its own

        // What it says to these is told by its first word: some servers repeat the command, and the password in it.
        const auto introduce = [&](std::span<const std::string_view> words) {
            const Reply reply = exchange(words, limit);
            if (reply->type == REDIS_REPLY_STATUS) return;
            std::string text(words.front());
            if (reply->type != REDIS_REPLY_ERROR) throw Failed{Outcome::lost, text + ": nonsense"};
            const std::string_view said(reply->str, reply->len);
            const std::string_view word = said.substr(0, said.find(' '));
            throw Failed{Outcome::lost, text + " was refused: " + sayable(word)};
        };
        if (!settings_.password.empty()) {
            const std::array<std::string_view, 3> words{"AUTH", settings_.user, settings_.password};
            const std::array<std::string_view, 2> without_user{"AUTH", settings_.password};
            introduce(settings_.user.empty() ? std::span<const std::string_view>(without_user) : words);
        }
        if (settings_.database != 0) {
            const std::string number = std::to_string(settings_.database);
            introduce(std::array<std::string_view, 2>{"SELECT", number});
        }
    }

    // Sends a command and waits for its answer, `limit` for all of it. hiredis' own redisCommand() waits that long for
    // each piece of it, and takes answers of any size and kind: so no more is read than an answer can have, and none is
    // parsed that is no single thing.
    Reply exchange(std::span<const std::string_view> words, milliseconds limit) {
        const auto deadline = Clock::now() + limit;
        redisContext& connection = *connection_;
        send(words);

        const redisReader& reader = *connection.reader;
        const std::size_t start = reader.pos;
        while (true) {
            const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
            pollfd readable{connection.fd, POLLIN, 0};
            const int ready = poll(&readable, 1, static_cast<int>(std::max<milliseconds::rep>(0, left.count())));
            if (ready < 0 && errno == EINTR) continue;
            if (ready <= 0) throw Failed{Outcome::silent, "no answer in time"};
            if (redisBufferRead(&connection) != REDIS_OK) throw failure_of(connection, errno);
            if (reader.len > start && std::string_view("+-:$").find(reader.buf[start]) == std::string_view::npos)
                throw Failed{Outcome::lost, "the answer makes no sense"};
            void* reply = nullptr;
            const std::size_t received = reader.len;
            if (redisReaderGetReply(connection.reader, &reply) != REDIS_OK)
                throw Failed{Outcome::lost, "the answer makes no sense"};
            if (reply) {
                Reply answer(static_cast<redisReply*>(reply));
                if (reader.len > reader.pos) throw Failed{Outcome::lost, "more came than was asked for"};
                return answer;
            }
            constexpr std::size_t longest_answer = longest_value + 64;
            if (received > start + longest_answer) throw Failed{Outcome::lost, "a value is too long"};
        }
    }

    void send(std::span<const std::string_view> words) {
        constexpr std::size_t most = 6;
        std::array<const char*, most> texts{};
        std::array<std::size_t, most> sizes{};
        for (std::size_t i = 0; i < words.size(); ++i) {
            texts[i] = words[i].data();
            sizes[i] = words[i].size();
        }
        redisContext* connection = connection_.get();
        int is_sent = 0;
        bool works =
            redisAppendCommandArgv(connection, static_cast<int>(words.size()), texts.data(), sizes.data()) == REDIS_OK;
        while (works && !is_sent) works = redisBufferWrite(connection, &is_sent) == REDIS_OK;
        if (!works) throw failure_of(*connection, errno);
    }

    StoreSettings settings_;
    RedisConnection connection_;
};

}  // namespace

std::unique_ptr<StoreClient> make_redis_client(const StoreSettings& settings) {
    return std::make_unique<RedisClient>(settings);
}

}  // namespace lbsticky
