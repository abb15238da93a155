// Simulated members of a balancer, all in one process: each listens at an address of its own, serves so many requests
// at once, and lets the others wait. A request says how long it is to be served: GET /session/VISITOR/MICROSECONDS, or
// /page/... where it has no session yet; /check is answered at once. The answer names the member, and a request of a
// session that is new to it is given the cookie JSESSIONID=ID.nodeN, as by a Tomcat whose sessions are replicated.
//
//   sim_members port=N members=8 capacity=4 start=SECONDS [slow=MEMBER:FROM:TO:TIMES] [silent=MEMBER:FROM:TO]
//               [down=MEMBER:FROM:TO] [from=SECONDS]
//
// Members are 127.0.1.1, 127.0.1.2, ... Times are seconds after `start`, which is one of the monotonic clock. Silent:
// it accepts, and answers nobody; when it speaks again it goes on with what waits. Down: it does not listen, and what
// it was serving is lost. `from`: when counting what is in flight begins. Says "ready" when it listens; SIGTERM ends
// it, and it prints as JSON what its members have seen.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "sim.hpp"

namespace {

volatile std::sig_atomic_t ended = 0;

// MEMBER:FROM:TO[:TIMES]
struct Window {
    unsigned member = 0;
    double from = 0, to = 0, times = 1;

    static Window parse(const std::string& text) {
        Window window;
        if (!text.empty() &&
            std::sscanf(text.c_str(), "%u:%lf:%lf:%lf", &window.member, &window.from, &window.to, &window.times) < 3) {
            throw std::runtime_error("not MEMBER:FROM:TO: " + text);
        }
        return window;
    }

    bool holds(unsigned which, double time) const { return which == member && time >= from && time < to; }
};

struct Connection {
    int fd = -1;
    unsigned member = 0;
    std::string in;
    bool busy = false;  // a request of it waits or is being served
};

struct Request {
    std::uint64_t connection;
    double seconds;
    std::string answer;
};

struct Member {
    int listener = -1;
    bool silent = false;
    unsigned life = 0;     // how often it was down
    unsigned serving = 0;  // requests, at most as many as its capacity
    std::deque<Request> waiting;
    std::vector<std::uint64_t> held;  // connections whose requests were done while it was silent
    unsigned in_flight = 0, most = 0, answered = 0, caught = 0;
    std::unordered_set<unsigned> sessions;
};

class Members {
public:
    explicit Members(const sim::Settings& settings)
        : port_(settings.whole("port", 0)),
          capacity_(settings.whole("capacity", 4)),
          start_(settings.number("start", sim::now())),
          from_(start_ + settings.number("from", 0)),
          slow_(Window::parse(settings.text("slow"))),
          silent_(Window::parse(settings.text("silent"))),
          down_(Window::parse(settings.text("down"))),
          members_(settings.whole("members", 8)) {
        for (unsigned i = 1; i <= members_.size(); ++i) {
            if (!down_.holds(i, 0)) listen(i);
        }
        if (silent_.member != 0) {
            loop_.at(start_ + silent_.from, [this] { fall_silent(silent_.member); });
            loop_.at(start_ + silent_.to, [this] { speak(silent_.member); });
        }
        if (down_.member != 0) {
            if (down_.from > 0) loop_.at(start_ + down_.from, [this] { go_down(down_.member); });
            loop_.at(start_ + down_.to, [this] { listen(down_.member); });
        }
    }

    void run(const sigset_t& mask) {
        check_end();
        loop_.run([this](std::uint64_t what, std::uint32_t) { ready(what); }, &mask);
    }

    void print() const {
        std::printf("[");
        for (std::size_t i = 0; i < members_.size(); ++i) {
            const Member& member = members_[i];
            std::printf(R"(%s{"answered": %u, "sessions": %zu, "most_in_flight": %u, "caught": %u})", i > 0 ? ", " : "",
                        member.answered, member.sessions.size(), member.most, member.caught);
        }
        std::printf("]\n");
    }

private:
    Member& at(unsigned number) { return members_[number - 1]; }

    void check_end() {
        if (ended != 0) loop_.stop();
        loop_.at(sim::now() + 0.05, [this] { check_end(); });
    }

    void listen(unsigned number) {
        const int fd = sim::tcp_socket();
        const int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        const sockaddr_in where = sim::address("127.0.1." + std::to_string(number), port_);
        if (bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 || ::listen(fd, 4096) != 0) {
            throw std::runtime_error(std::string("listening: ") + std::strerror(errno));
        }
        at(number).listener = fd;
        loop_.watch(fd, EPOLLIN, number);
    }

    void go_down(unsigned number) {
        Member& member = at(number);
        close(member.listener);
        member.listener = -1;
        for (auto it = connections_.begin(); it != connections_.end();) {
            if (it->second.member == number) {
                close(it->second.fd);
                it = connections_.erase(it);
            } else {
                ++it;
            }
        }
        ++member.life;
        member.waiting.clear();
        member.serving = member.in_flight = 0;
    }

    void fall_silent(unsigned number) {
        at(number).silent = true;
        at(number).caught = at(number).in_flight;
    }

    void speak(unsigned number) {
        Member& member = at(number);
        member.silent = false;
        const auto held = std::move(member.held);
        member.held.clear();
        for (const std::uint64_t connection : held) finish(number, connection);
        serve(number);
    }

    void ready(std::uint64_t what) {
        if (what <= members_.size()) {
            accept(static_cast<unsigned>(what));
        } else if (const auto found = connections_.find(what); found != connections_.end()) {
            read(what, found->second);
        }
    }

    void accept(unsigned number) {
        for (;;) {
            const int fd = accept4(at(number).listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) return;
            const int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            const std::uint64_t id = next_++;
            connections_[id] = {fd, number, "", false};
            loop_.watch(fd, EPOLLIN, id);
        }
    }

    void read(std::uint64_t id, Connection& connection) {
        std::array<char, 8192> buffer{};
        const ssize_t count = ::read(connection.fd, buffer.data(), buffer.size());
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            hang_up(id, connection);
            return;
        }
        connection.in.append(buffer.data(), static_cast<std::size_t>(count));
        take_request(id, connection);
    }

    // The proxy closed it: what waits is forgotten, what is being served goes on, as in an application.
    void hang_up(std::uint64_t id, Connection& connection) {
        Member& member = at(connection.member);
        const auto found = std::find_if(member.waiting.begin(), member.waiting.end(),
                                        [id](const Request& request) { return request.connection == id; });
        if (found != member.waiting.end()) {
            member.waiting.erase(found);
            --member.in_flight;
        }
        close(connection.fd);
        connections_.erase(id);
    }

    void take_request(std::uint64_t id, Connection& connection) {
        const auto end = connection.in.find("\r\n\r\n");
        if (connection.busy || end == std::string::npos) return;
        const std::string head = connection.in.substr(0, end + 2);
        connection.in.erase(0, end + 4);
        Member& member = at(connection.member);
        const std::string path =
            head.substr(head.find(' ') + 1, head.find(' ', head.find(' ') + 1) - head.find(' ') - 1);
        unsigned visitor = 0;
        double microseconds = 0;
        const bool session = std::sscanf(path.c_str(), "/session/%u/%lf", &visitor, &microseconds) == 2;
        if (!session && std::sscanf(path.c_str(), "/page/%u/%lf", &visitor, &microseconds) != 2) {
            if (!member.silent) answer(id, answer_of(connection.member, ""));
            return;
        }
        std::string cookie;
        if (session) {
            member.sessions.insert(visitor);
            const std::string route = ".node" + std::to_string(connection.member);
            if (!has_route(head, route)) cookie = session_cookie(visitor, route);
        }
        connection.busy = true;
        ++member.in_flight;
        if (sim::now() >= from_) member.most = std::max(member.most, member.in_flight);
        if (member.silent) ++member.caught;
        member.waiting.push_back({id, microseconds * 1e-6, answer_of(connection.member, cookie)});
        serve(connection.member);
    }

    static bool has_route(const std::string& head, const std::string& route) {
        const std::string_view cookies = sim::header(head, "cookie");
        const auto begin = cookies.find("JSESSIONID=");
        return begin != std::string_view::npos &&
               cookies.substr(begin, cookies.find(';', begin) - begin).ends_with(route);
    }

    static std::string session_cookie(unsigned visitor, const std::string& route) {
        std::array<char, 80> text{};
        std::snprintf(text.data(), text.size(), "Set-Cookie: JSESSIONID=%08X%016llX", visitor,
                      (visitor + 1ULL) * 0x9E3779B97F4A7C15ULL);
        return text.data() + route + "; Path=/; HttpOnly\r\n";
    }

    static std::string answer_of(unsigned number, const std::string& cookie) {
        const std::string body(200, 'x');
        return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
               "\r\nX-Member: " + std::to_string(number) + "\r\n" + cookie + "\r\n" + body;
    }

    void serve(unsigned number) {
        Member& member = at(number);
        while (!member.silent && member.serving < capacity_ && !member.waiting.empty()) {
            Request request = std::move(member.waiting.front());
            member.waiting.pop_front();
            ++member.serving;
            const double times = slow_.holds(number, sim::now() - start_) ? slow_.times : 1;
            answers_[request.connection] = std::move(request.answer);
            loop_.at(sim::now() + request.seconds * times, [this, number, life = member.life, id = request.connection] {
                if (at(number).life != life) {
                    answers_.erase(id);
                } else if (at(number).silent) {
                    at(number).held.push_back(id);
                } else {
                    finish(number, id);
                    serve(number);
                }
            });
        }
    }

    void finish(unsigned number, std::uint64_t id) {
        Member& member = at(number);
        --member.serving;
        --member.in_flight;
        ++member.answered;
        const std::string text = std::move(answers_[id]);
        answers_.erase(id);
        const auto found = connections_.find(id);
        if (found == connections_.end()) return;
        found->second.busy = false;
        answer(id, text);
    }

    // Answers are short: the socket's buffer takes them whole.
    void answer(std::uint64_t id, const std::string& text) {
        Connection& connection = connections_.at(id);
        if (send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
            hang_up(id, connection);
        } else {
            take_request(id, connection);
        }
    }

    unsigned port_, capacity_;
    double start_, from_;
    Window slow_, silent_, down_;
    std::vector<Member> members_;
    std::unordered_map<std::uint64_t, Connection> connections_;
    std::unordered_map<std::uint64_t, std::string> answers_;  // of what is being served, by connection
    std::uint64_t next_ = 1'000'000;                          // below: listeners
    sim::Loop loop_;
};

}  // namespace

int main(int count, char** words) {
    try {
        sim::allow_many_files();
        sigset_t block{};
        sigset_t mask{};
        sigemptyset(&block);
        sigaddset(&block, SIGTERM);
        sigprocmask(SIG_BLOCK, &block, &mask);
        std::signal(SIGTERM, [](int) { ended = 1; });
        Members members(sim::Settings(count, words));
        std::printf("ready\n");
        std::fflush(stdout);
        members.run(mask);
        members.print();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sim_members: %s\n", error.what());
        return 1;
    }
}
