// A TCP connection that never waits longer than until a deadline, and never takes more than it was told to.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lbsticky {

// Whatever goes wrong is thrown as Failed, after which it can only be destroyed. One thread at a time.
class Connection {
public:
    using Time = std::chrono::steady_clock::time_point;

    // Connects to the first of the host's addresses that answers, all of them within `limit`. How long the resolver
    // takes to find them is not part of it, and cannot be limited.
    Connection(const std::string& host, std::uint16_t port, std::chrono::milliseconds limit);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    // Sends all of it.
    void send(std::string_view text, Time deadline);

    // What comes up to the next CR LF, without it; a view until the next call. It is lost if that is more than 1,280
    // bytes.
    std::string_view read_line(Time deadline);

    // The next bytes, no more than 1,280; a view until the next call.
    std::string_view read(std::size_t size, Time deadline);

    // Whether something came that nobody has read.
    bool has_unread() const noexcept { return begin_ != end_; }

private:
    void wait_for(short events, Time deadline) const;
    void read_more(Time deadline);

    int socket_ = -1;
    std::array<char, 2048> buffer_{};
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace lbsticky
