// What the simulated members and visitors share: settings from the command line, time, sockets, an epoll loop.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <queue>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sim {

// Seconds of the clock that both programs and who starts them read: Python's time.monotonic().
inline double now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// NAME=VALUE words of the command line.
class Settings {
public:
    Settings(int count, char** words) {
        for (int i = 1; i < count; ++i) {
            const std::string word = words[i];
            const auto equals = word.find('=');
            if (equals == std::string::npos) throw std::runtime_error("not NAME=VALUE: " + word);
            values_[word.substr(0, equals)] = word.substr(equals + 1);
        }
    }

    std::string text(const std::string& name, const std::string& otherwise = "") const {
        const auto found = values_.find(name);
        return found == values_.end() ? otherwise : found->second;
    }

    double number(const std::string& name, double otherwise) const {
        const std::string value = text(name);
        return value.empty() ? otherwise : std::stod(value);
    }

    unsigned whole(const std::string& name, unsigned otherwise) const {
        return static_cast<unsigned>(number(name, otherwise));
    }

private:
    std::map<std::string, std::string> values_;
};

inline sockaddr_in address(const std::string& host, unsigned port) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(port));
    if (inet_pton(AF_INET, host.c_str(), &where.sin_addr) != 1) throw std::runtime_error("no address: " + host);
    return where;
}

// A socket that never blocks and sends at once.
inline int tcp_socket() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw std::runtime_error("no socket");
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

inline void allow_many_files() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// The value of a header of that name (lower case) in a head, from `from` on; moves `from` behind it. Empty: there is
// none.
inline std::string_view header(std::string_view head, std::string_view name, std::size_t& from) {
    while ((from = head.find("\r\n", from)) != std::string_view::npos) {
        from += 2;
        const std::string_view line = head.substr(from, head.find("\r\n", from) - from);
        if (line.size() <= name.size() || line[name.size()] != ':') continue;
        bool same = true;
        for (std::size_t i = 0; same && i < name.size(); ++i) same = (line[i] | 0x20) == name[i] || line[i] == name[i];
        if (!same) continue;
        const auto value = line.find_first_not_of(' ', name.size() + 1);
        return value == std::string_view::npos ? "" : line.substr(value);
    }
    return "";
}

inline std::string_view header(std::string_view head, std::string_view name) {
    std::size_t from = 0;
    return header(head, name, from);
}

// What is to happen at a time, and what to do when a socket has something. One thread; ends when stop() was called.
class Loop {
public:
    using Ready = std::function<void(std::uint64_t, std::uint32_t)>;  // what it was watched as, events

    Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
    ~Loop() { close(epoll_); }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    void watch(int fd, std::uint32_t events, std::uint64_t as) {
        epoll_event event{};
        event.events = events;
        event.data.u64 = as;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0 && epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0) {
            throw std::runtime_error("epoll_ctl");
        }
    }

    void at(double time, std::function<void()> action) { due_.push({time, order_++, std::move(action)}); }

    void stop() { stopped_ = true; }

    // mask: the signals that may come while it waits.
    void run(const Ready& ready, const sigset_t* mask = nullptr) {
        std::array<epoll_event, 256> events{};
        while (!stopped_) {
            const double wait = due_.empty() ? 1.0 : std::fmin(1.0, due_.top().time - now());
            timespec time{};
            if (wait > 0) time.tv_nsec = static_cast<long>(std::fmin(wait, 0.999999999) * 1e9);
            const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &time, mask);
            for (int i = 0; i < count; ++i) {
                const epoll_event& event = events[static_cast<std::size_t>(i)];
                ready(event.data.u64, event.events);
            }
            while (!stopped_ && !due_.empty() && due_.top().time <= now()) {
                const auto action = due_.top().action;
                due_.pop();
                action();
            }
        }
    }

private:
    struct Due {
        double time;
        std::uint64_t order;
        std::function<void()> action;
        bool operator<(const Due& other) const { return time != other.time ? time > other.time : order > other.order; }
    };

    int epoll_;
    std::priority_queue<Due> due_;
    std::uint64_t order_ = 0;
    volatile bool stopped_ = false;
};

}  // namespace sim
