// Simulated visitors of a site: an open loop. Who sends what when is planned before the first request, from a seed, and
// nobody waits for an answer; a request's time counts from when it was planned. Each visitor has a cookie jar of its
// own. Each request has a connection of its own, so that none waits for another one's, and none is sent on a connection
// that is just being closed.
//
//   sim_visitors port=N start=SECONDS seed=1 seconds=20 from=4 rate=100 requests=8 pause=0 gap=0.5 service=0.02
//                patience=10 [heavy=0.01 heavy_requests=800 heavy_gap=0.01] [burst=FROM:TO:TIMES]
//                [steady=1] [before=options|pages step=0.005] [watch=MEMBER:SECONDS]
//
// `rate` sessions begin a second, at random (steady=1: one like another), each with so many requests, at random, on
// average `gap` seconds apart, the second `pause` later than that: by then the first has been answered, and its cookies
// are there, unless the member is slow. Each request takes a member `service` seconds on average (exponential).
// `heavy`: this share of the sessions has more. `before`: what a visitor sends before the request that makes its
// session, `step` seconds apart: a preflight (without cookies, as browsers send it), or two pages. Counted are requests
// planned after `from`, all times in seconds after `start`. `watch`: which share of the sessions that began later is at
// that member. Prints the sums as JSON.
#include <algorithm>
#include <deque>
#include <random>
#include <unordered_map>

#include "sim.hpp"

namespace {

enum class Kind { session, page, preflight };

struct Planned {
    double at;
    unsigned visitor;
    unsigned microseconds;
    Kind kind;
};

struct Visitor {
    double begins = 0;  // its session
    unsigned member = 0;
    std::map<std::string, std::string, std::less<>> jar;
};

struct Connection {
    int fd = -1;
    Planned planned{};
    std::string out, in;
};

class Plan {
public:
    explicit Plan(const sim::Settings& settings)
        : random_(settings.whole("seed", 1)), settings_(settings), seconds_(settings.number("seconds", 20)) {
        const unsigned heavy_one_in =
            settings.number("heavy", 0) > 0 ? static_cast<unsigned>(std::lround(1 / settings.number("heavy", 1))) : 0;
        const double step = settings.number("step", 0.005);
        const std::string before = settings.text("before");
        unsigned heavy = 0;
        unsigned number = 0;
        for (double time = next(0); time < seconds_; time = next(time), ++number) {
            if (heavy_one_in > 0 && number % heavy_one_in == 0) {
                heavy = number + static_cast<unsigned>(random_() % heavy_one_in);
            }
            double begins = time;
            if (before == "options") add(begins, number, Kind::preflight);
            if (before == "options") begins += step;
            for (int page = 0; before == "pages" && page < 2; ++page, begins += step) add(begins, number, Kind::page);
            visitors.emplace_back();
            visitors.back().begins = begins;
            const bool is_heavy = heavy_one_in > 0 && number == heavy;
            plan_session(number, begins, is_heavy ? "heavy_requests" : "requests", is_heavy ? "heavy_gap" : "gap");
        }
        std::stable_sort(requests.begin(), requests.end(),
                         [](const Planned& a, const Planned& b) { return a.at < b.at; });
    }

    std::vector<Planned> requests;
    std::vector<Visitor> visitors;

private:
    double exponential(double mean) { return std::exponential_distribution<double>(1 / mean)(random_); }

    // When the next visitor comes.
    double next(double time) {
        double from = 0;
        double to = 0;
        double times = 1;
        std::sscanf(settings_.text("burst").c_str(), "%lf:%lf:%lf", &from, &to, &times);
        const double gap = 1 / (settings_.number("rate", 100) * (time >= from && time < to ? times : 1));
        return time + (settings_.number("steady", 0) > 0 ? gap : exponential(gap));
    }

    void plan_session(unsigned visitor, double time, const std::string& requests_of, const std::string& gap) {
        add(time, visitor, Kind::session);
        time += settings_.number("pause", 0);
        for (unsigned left = settings_.whole(requests_of, 8); left > 1; --left) {
            time += exponential(settings_.number(gap, 0.5));
            add(time, visitor, Kind::session);
        }
    }

    void add(double time, unsigned visitor, Kind kind) {
        const double service = exponential(settings_.number("service", 0.02));
        if (time < seconds_) requests.push_back({time, visitor, static_cast<unsigned>(service * 1e6), kind});
    }

    std::mt19937_64 random_;
    const sim::Settings& settings_;
    double seconds_;
};

class Visitors {
public:
    explicit Visitors(const sim::Settings& settings)
        : plan_(settings),
          server_(sim::address("127.0.0.1", settings.whole("port", 80))),
          host_("127.0.0.1:" + settings.text("port")),
          start_(settings.number("start", sim::now())),
          from_(settings.number("from", 0)),
          patience_(settings.number("patience", 10)) {
        std::sscanf(settings.text("watch").c_str(), "%u:%lf", &watched_, &watched_from_);
    }

    void run() {
        if (plan_.requests.empty()) return;
        send_next(0);
        loop_.run([this](std::uint64_t id, std::uint32_t) { ready(id); });
    }

    void print() {
        std::sort(latencies_.begin(), latencies_.end());
        std::sort(lags_.begin(), lags_.end());
        unsigned all = 0;
        unsigned there = 0;
        std::map<unsigned, unsigned> sessions;
        for (const Visitor& visitor : plan_.visitors) {
            if (visitor.member == 0) continue;
            if (visitor.begins >= from_) ++sessions[visitor.member];
            if (watched_ == 0 || visitor.begins < watched_from_) continue;
            ++all;
            if (visitor.member == watched_) ++there;
        }
        std::printf(R"({"requests": %u, "p50": %.3f, "p95": %.3f, "p99": %.3f, "p99.9": %.3f, )", counted_,
                    percentile(latencies_, 0.5), percentile(latencies_, 0.95), percentile(latencies_, 0.99),
                    percentile(latencies_, 0.999));
        std::printf(R"("refused": %u, "lost": %u, "slow": %u, "lag_p99": %.3f, "lag_max": %.3f, )", refused_, lost_,
                    slow_, percentile(lags_, 0.99), percentile(lags_, 1));
        std::printf(R"("watched": %u, "watched_there": %u, "cpu": %.3f, "sessions": {)", all, there,
                    static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
        const char* comma = "";
        for (const auto& [member, number] : sessions) {
            std::printf(R"(%s"%u": %u)", comma, member, number);
            comma = ", ";
        }
        std::printf("}}\n");
    }

private:
    // In milliseconds.
    static double percentile(const std::vector<double>& sorted, double share) {
        if (sorted.empty()) return 0;
        const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
        return sorted[std::max<std::size_t>(rank, 1) - 1] * 1e3;
    }

    void send_next(std::size_t number) {
        loop_.at(start_ + plan_.requests[number].at, [this, number] {
            if (number + 1 < plan_.requests.size()) {
                send_next(number + 1);
            } else {
                all_sent_ = true;
            }
            send_one(plan_.requests[number]);
        });
    }

    void send_one(const Planned& planned) {
        lags_.push_back(sim::now() - start_ - planned.at);
        const std::uint64_t id = next_++;
        Connection& connection = connections_[id];
        connection.planned = planned;
        connection.out = text_of(planned);
        connection.fd = sim::tcp_socket();
        // Loopback: the connection is there at once, or as soon as the server's queue has room.
        const int result = connect(connection.fd, reinterpret_cast<const sockaddr*>(&server_), sizeof server_);
        if (result != 0 && errno != EINPROGRESS) {
            lose(id);
            return;
        }
        loop_.watch(connection.fd, EPOLLOUT | EPOLLIN, id);
        loop_.at(start_ + planned.at + patience_, [this, id] {
            if (connections_.contains(id)) lose(id);
        });
    }

    std::string text_of(const Planned& planned) const {
        std::string text = planned.kind == Kind::preflight ? "OPTIONS" : "GET";
        // A preflight costs a member nothing.
        text += planned.kind == Kind::session ? " /session/" : " /page/";
        text += std::to_string(planned.visitor) + "/" +
                std::to_string(planned.kind == Kind::preflight ? 0 : planned.microseconds) +
                " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n";
        const auto& jar = plan_.visitors[planned.visitor].jar;
        if (planned.kind != Kind::preflight && !jar.empty()) {
            std::string cookies;
            for (const auto& [name, value] : jar) cookies += (cookies.empty() ? "" : "; ") + name + "=" + value;
            text += "Cookie: " + cookies + "\r\n";
        }
        return text + "\r\n";
    }

    void ready(std::uint64_t id) {
        const auto found = connections_.find(id);
        if (found == connections_.end()) return;
        Connection& connection = found->second;
        if (!connection.out.empty()) {
            const ssize_t sent = send(connection.fd, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) return lose(id);
            if (sent > 0) connection.out.erase(0, static_cast<std::size_t>(sent));
            if (connection.out.empty()) loop_.watch(connection.fd, EPOLLIN, id);
        }
        std::array<char, 16384> buffer{};
        for (;;) {
            const ssize_t count = read(connection.fd, buffer.data(), buffer.size());
            if (count < 0 && errno == EAGAIN) return;
            if (count < 0) return lose(id);
            connection.in.append(buffer.data(), static_cast<std::size_t>(count));
            if (is_complete(connection.in)) return finish(id);
            if (count == 0) return connection.in.starts_with("HTTP/1.") ? finish(id) : lose(id);
        }
    }

    static bool is_complete(std::string_view in) {
        const auto end = in.find("\r\n\r\n");
        if (end == std::string_view::npos) return false;
        const std::string length(sim::header(in.substr(0, end), "content-length"));
        return !length.empty() && in.size() >= end + 4 + std::stoul(length);
    }

    void finish(std::uint64_t id) {
        const Connection& connection = connections_.at(id);
        const Planned planned = connection.planned;
        const std::string_view head = std::string_view(connection.in).substr(0, connection.in.find("\r\n\r\n"));
        Visitor& visitor = plan_.visitors[planned.visitor];
        if (planned.kind != Kind::preflight) take_cookies(head, visitor);
        const bool well = head.substr(9, 3) == "200";
        const std::string member(sim::header(head, "x-member"));
        if (well && planned.kind == Kind::session && visitor.member == 0 && !member.empty()) {
            visitor.member = static_cast<unsigned>(std::stoul(member));
        }
        if (planned.at >= from_) {
            const double latency = sim::now() - start_ - planned.at;
            ++counted_;
            if (!well) ++refused_;
            if (well) latencies_.push_back(latency);
            if (well && latency > 1) ++slow_;
        }
        forget(id);
    }

    static void take_cookies(std::string_view head, Visitor& visitor) {
        std::size_t from = 0;
        for (;;) {
            const std::string_view line = sim::header(head, "set-cookie", from);
            if (line.empty()) return;
            const std::string_view pair = line.substr(0, line.find(';'));
            const auto equals = pair.find('=');
            if (equals == std::string_view::npos) continue;
            visitor.jar[std::string(pair.substr(0, equals))] = pair.substr(equals + 1);
        }
    }

    // No answer: it counts as one that came when the visitor's patience ended.
    void lose(std::uint64_t id) {
        if (connections_.at(id).planned.at >= from_) {
            ++counted_;
            ++lost_;
            latencies_.push_back(patience_);
        }
        forget(id);
    }

    void forget(std::uint64_t id) {
        close(connections_.at(id).fd);
        connections_.erase(id);
        if (all_sent_ && connections_.empty()) loop_.stop();
    }

    Plan plan_;
    sockaddr_in server_;
    std::string host_;
    double start_, from_, patience_;
    unsigned watched_ = 0;
    double watched_from_ = 0;
    std::unordered_map<std::uint64_t, Connection> connections_;
    std::uint64_t next_ = 1;
    bool all_sent_ = false;
    unsigned counted_ = 0, refused_ = 0, lost_ = 0, slow_ = 0;
    std::vector<double> latencies_, lags_;
    sim::Loop loop_;
};

}  // namespace

int main(int count, char** words) {
    try {
        sim::allow_many_files();
        const sim::Settings settings(count, words);
        Visitors visitors(settings);
        visitors.run();
        visitors.print();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sim_visitors: %s\n", error.what());
        return 1;
    }
}
