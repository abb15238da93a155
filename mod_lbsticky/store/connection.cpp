#include "store/connection.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "store/failed.hpp"

namespace lbsticky {
namespace {

using Outcome = StoreAnswer::Outcome;
using std::chrono::milliseconds;

constexpr std::size_t most_at_once = 1280;

struct FreeAddresses {
    void operator()(addrinfo* addresses) const noexcept { freeaddrinfo(addresses); }
};

Failed lost(int error) {
    return {Outcome::lost, std::generic_category().message(error)};
}

std::unique_ptr<addrinfo, FreeAddresses> addresses_of(const std::string& host, std::uint16_t port) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found))
        throw Failed(Outcome::lost, gai_strerror(error));
    return std::unique_ptr<addrinfo, FreeAddresses>(found);
}

// Waits for one of the events; false if there was none until then.
bool is_ready(int socket, short events, Connection::Time deadline) {
    while (true) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        pollfd waiting{socket, events, 0};
        const int ready = poll(&waiting, 1, static_cast<int>(std::max<milliseconds::rep>(0, left)));
        if (ready >= 0) return ready > 0;
        if (errno != EINTR) throw lost(errno);
    }
}

// Connects to one address; 0, or why it cannot.
int connect_to(int socket, const addrinfo& address, Connection::Time deadline) {
    if (connect(socket, address.ai_addr, address.ai_addrlen) == 0) return 0;
    if (errno != EINPROGRESS) return errno;
    if (!is_ready(socket, POLLOUT, deadline)) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof(error);
    return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

}  // namespace

Connection::Connection(const std::string& host, std::uint16_t port, milliseconds limit) {
    const auto addresses = addresses_of(host, port);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    int error = 0;
    for (const addrinfo* address = addresses.get(); address; address = address->ai_next) {
        socket_ = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
        error = socket_ < 0 ? errno : connect_to(socket_, *address, deadline);
        if (socket_ >= 0 && error == 0) {
            const int on = 1;
            setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return;
        }
        if (socket_ >= 0) close(socket_);
        socket_ = -1;
    }
    if (error == ETIMEDOUT) throw Failed(Outcome::silent, "no connection in time");
    throw lost(error);
}

Connection::~Connection() {
    close(socket_);
}

void Connection::send(std::string_view text, Time deadline) {
    while (!text.empty()) {
        const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent >= 0)
            text.remove_prefix(static_cast<std::size_t>(sent));
        else if (errno == EAGAIN)
            wait_for(POLLOUT, deadline);
        else if (errno != EINTR)
            throw lost(errno);
    }
}

std::string_view Connection::read_line(Time deadline) {
    while (true) {
        const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
        const auto end = unread.find("\r\n");
        if (end != unread.npos) {
            begin_ += end + 2;
            return unread.substr(0, end);
        }
        if (unread.size() > most_at_once) throw Failed(Outcome::lost, "a line is too long");
        read_more(deadline);
    }
}

std::string_view Connection::read(std::size_t size, Time deadline) {
    if (size > most_at_once) throw Failed(Outcome::lost, "a value is too long");
    while (end_ - begin_ < size) read_more(deadline);
    const std::string_view bytes(buffer_.data() + begin_, size);
    begin_ += size;
    return bytes;
}

void Connection::wait_for(short events, Time deadline) const {
    if (!is_ready(socket_, events, deadline)) throw Failed(Outcome::silent, "no answer in time");
}

void Connection::read_more(Time deadline) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= begin_;
    begin_ = 0;
    // Asked for less than that at once, there is always room.
    while (true) {
        const ssize_t received = recv(socket_, buffer_.data() + end_, buffer_.size() - end_, 0);
        if (received > 0) {
            end_ += static_cast<std::size_t>(received);
            // Who sends a byte now and then is not to go on for ever.
            if (std::chrono::steady_clock::now() > deadline) throw Failed(Outcome::silent, "no answer in time");
            return;
        }
        if (received == 0) throw Failed(Outcome::lost, "the connection was closed");
        if (errno == EAGAIN)
            wait_for(POLLIN, deadline);
        else if (errno != EINTR)
            throw lost(errno);
    }
}

}  // namespace lbsticky
