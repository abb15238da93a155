// memcached, by its text protocol (protocol.txt of memcached 1.6: "Retrieval commands", "Storage commands").
//
// Not by libmemcached: version 1.1.4, as Debian builds it, ends the process (assert) when a set is answered by anything
// it does not expect, takes some nonsense for an empty value, and makes room for as many bytes as an answer claims.
#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <optional>
#include <utility>

#include "store/client.hpp"
#include "store/connection.hpp"
#include "store/entry.hpp"
#include "store/failed.hpp"

namespace lbsticky {
namespace {

using Outcome = StoreAnswer::Outcome;

// A time of over 30 days is taken for a date ("Expiration times").
std::string expiration(std::chrono::seconds life) {
    constexpr std::chrono::seconds longest = std::chrono::hours(24 * 30);
    return std::to_string(life.count() + (life > longest ? std::time(nullptr) : 0));
}

// What an answer is that nobody expects: an error as the protocol has them, or nonsense.
Failed unexpected(std::string_view line) {
    for (const std::string_view error : {"ERROR", "CLIENT_ERROR ", "SERVER_ERROR "})
        if (line.starts_with(error)) return {Outcome::refused, sayable(line)};
    return {Outcome::lost, "the answer makes no sense"};
}

class MemcachedClient final : public StoreClient {
public:
    explicit MemcachedClient(StoreSettings settings) : settings_(std::move(settings)) {}

    StoreAnswer get(std::string_view key) noexcept override {
        return attempt([&]() -> StoreAnswer {
            const auto deadline = ask(std::string("get ").append(key).append("\r\n"));
            std::string_view line = connection_->read_line(deadline);
            if (line == "END") return only({Outcome::absent, {}});
            // "VALUE KEY FLAGS SIZE", the value, "END"
            const std::string begin = std::string("VALUE ").append(key).append(" ");
            if (!line.starts_with(begin)) throw unexpected(line);
            line.remove_prefix(std::min(line.size(), line.find(' ', begin.size())));
            std::size_t size = 0;
            const auto [end, error] = std::from_chars(line.data() + !line.empty(), line.data() + line.size(), size);
            if (error != std::errc() || end != line.data() + line.size()) throw unexpected({});
            if (size > longest_value) throw Failed(Outcome::lost, "a value is too long");
            StoreAnswer answer{Outcome::found, std::string(connection_->read(size, deadline))};
            if (!connection_->read_line(deadline).empty() || connection_->read_line(deadline) != "END")
                throw unexpected({});
            return only(std::move(answer));
        });
    }

    StoreAnswer put(std::string_view key, std::string_view value, std::chrono::seconds life,
                    bool only_if_absent) noexcept override {
        return attempt([&]() -> StoreAnswer {
            std::string command = only_if_absent ? "add " : "set ";
            command.append(key).append(" 0 ").append(expiration(life)).append(" ");
            command.append(std::to_string(value.size())).append("\r\n").append(value).append("\r\n");
            const auto deadline = ask(command);
            const std::string_view line = connection_->read_line(deadline);
            if (line != "STORED" && !(only_if_absent && line == "NOT_STORED")) throw unexpected(line);
            return only({Outcome::stored, {}});
        });
    }

private:
    template <typename Attempt>
    StoreAnswer attempt(Attempt&& attempt) noexcept {
        return answer_of(std::forward<Attempt>(attempt), [this]() noexcept { connection_.reset(); });
    }

    // Sends a command. Until when to wait for the answer.
    Connection::Time ask(std::string_view command) {
        if (!connection_)
            connection_.emplace(settings_.host, settings_.port, std::max(connect_limit, settings_.timeout));
        const auto deadline = std::chrono::steady_clock::now() + settings_.timeout;
        connection_->send(command, deadline);
        return deadline;
    }

    // The answer, if nothing comes behind it.
    StoreAnswer only(StoreAnswer answer) const {
        if (connection_->has_unread()) throw Failed(Outcome::lost, "more came than was asked for");
        return answer;
    }

    StoreSettings settings_;
    std::optional<Connection> connection_;
};

}  // namespace

std::unique_ptr<StoreClient> make_memcached_client(const StoreSettings& settings) {
    return std::make_unique<MemcachedClient>(settings);
}

}  // namespace lbsticky
