// Fuzzes with any bytes as a Cookie header: how its cookies are read, which session is found, where the request goes.

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "core/affinity.hpp"
#include "core/session.hpp"
#include "core/set_cookie.hpp"
#include "require.hpp"

namespace lbsticky {
namespace {

Worker worker(std::string route) {
    Worker result;
    result.url = "http://" + route;
    result.route = std::move(route);
    return result;
}

// Few workers, but of each kind. A session can belong to any of them.
std::vector<Worker> workers() {
    std::vector<Worker> all = {worker("node1"), worker("node2"), worker("b"), worker("a.b"),
                               worker("b"),     worker("c"),     worker("c"), worker("drain"),
                               worker("to"),    worker("fro"),   worker(""),  worker(std::string(longest_route, 'r'))};
    all[1].usable = false;
    all[2].usable = false;
    all[5].standby = true;
    all[7].draining = true;
    all[8].usable = false;
    all[8].redirect = "fro";
    all[9].usable = false;
    all[9].redirect = "to";
    all[1].redirect = "c";
    return all;
}

Roster& roster() {
    static Roster the_roster(workers());
    return the_roster;
}

struct Cookie {
    std::string_view name;
    std::string_view value;
};

std::string_view without_blanks(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    return first == text.npos ? text.substr(0, 0) : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// All cookies of the header, read in the plainest way: pair by pair.
std::vector<Cookie> cookies_of(std::string_view header) {
    std::vector<Cookie> cookies;
    for (std::size_t begin = 0; begin <= header.size();) {
        const std::size_t end = std::min(header.find_first_of(";,", begin), header.size());
        const std::string_view pair = header.substr(begin, end - begin);
        begin = end + 1;
        const auto equals = pair.find('=');
        if (equals == pair.npos || without_blanks(pair.substr(0, equals)).empty()) continue;
        std::string_view value = without_blanks(pair.substr(equals + 1));
        if (value.size() > 1 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
        cookies.push_back({without_blanks(pair.substr(0, equals)), value});
    }
    return cookies;
}

// Checks that the module finds the same cookies of a name, and takes just those out of the header.
void check_by_name(std::string_view header, const std::vector<Cookie>& cookies, std::string_view name) {
    CookieReader reader(header, name);
    std::string kept(header.size(), '?');
    kept.resize(without_cookie(header, name, kept.data()));
    const std::vector<Cookie> others = cookies_of(kept);
    std::size_t other = 0;
    for (const Cookie& cookie : cookies) {
        if (cookie.name != name) {
            require(other < others.size() && others[other].name == cookie.name && others[other].value == cookie.value,
                    "the other cookies stay as they are");
            ++other;
            continue;
        }
        const auto value = reader.next();
        require(value.has_value(), "every cookie is found");
        require(*value == cookie.value && (value->empty() || value->data() == cookie.value.data()),
                "a value is what stands behind the name");
        require(reader.begin() < reader.end() && reader.end() <= header.size(), "a cookie lies in the header");
    }
    require(!reader.next() && !reader.next(), "nothing is found that is not there");
    require(other == others.size(), "no cookie comes from nowhere");
}

// Whether a worker with the same route as this one can serve.
bool can_be_served(std::size_t index) {
    for (const auto& other : roster().workers())
        if (other.route == roster().workers()[index].route && other.usable) return true;
    return false;
}

// The longest route of all workers that stands at the end of the value, behind a separator.
std::string_view longest_known_route(std::string_view value, char separator) {
    std::string_view longest;
    for (const auto& other : roster().workers()) {
        const std::string_view route = other.route;
        if (route.size() <= longest.size() || !value.ends_with(route)) continue;
        const std::string_view before = value.substr(0, value.size() - route.size());
        if (separator == '\0' ? before.empty() : before.ends_with(separator)) longest = route;
    }
    return longest;
}

void check_session(const Session& session, char separator) {
    const auto& all = roster().workers();
    require(lies_in(session.id, session.value) && lies_in(session.route, session.value),
            "id and route are of the value");
    // The known routes that end the value, one behind the other, the last eight of them.
    std::string_view id = session.value;
    std::vector<std::string_view> list;
    while (list.size() < 8) {
        const std::string_view route = longest_known_route(id, separator);
        if (route.empty()) break;
        list.insert(list.begin(), route);
        id.remove_suffix(route.size() + (separator == '\0' ? 0 : 1));
    }
    require(session.worker.has_value() == !list.empty(), "a known route is found");
    if (!session.worker) {
        const bool has_only_a_route = separator != '\0' && session.value.starts_with(separator);
        require(session.id == (has_only_a_route ? std::string_view() : session.value),
                "without a known route all of it is the id, unless nothing stands before the separator");
        return;
    }
    require(all[*session.worker].route == session.route, "the worker has that route");
    require(session.route == list[0], "the first route of the list counts");
    require(session.id == id, "a value is an id and a list of routes");
    require(session.further_workers().size() + 1 == list.size(), "the others are further ones");
    for (std::size_t i = 1; i < list.size(); ++i)
        require(all[session.further_workers()[i - 1]].route == list[i], "in their order");
}

void check_preference(const Session& session, std::string_view name, const std::vector<Cookie>& cookies,
                      char separator) {
    // How much a cookie is worth: 1 for any, 2 for a known route, 3 for one that can serve. The first of the best
    // counts.
    std::size_t looked_at = 0;
    int most = 0;
    const char* best = nullptr;
    for (const auto& cookie : cookies) {
        if (cookie.name != name || cookie.value.empty()) continue;
        if (looked_at++ == FewValues::most) break;
        const auto named = read_session(name, cookie.value, separator, Keeping::given, roster()).worker;
        const int worth = !named ? 1 : can_be_served(*named) ? 3 : 2;
        if (worth <= most) continue;
        most = worth;
        best = cookie.value.data();
    }
    require(session.exists() == (best != nullptr), "a session is found exactly where there is one");
    if (best) require(session.value.data() == best && session.name == name, "the first best cookie counts");
}

void check_choice(const Choice& choice, const Rules& rules, bool ticket_drawn) {
    const auto& all = roster().workers();
    const Session& session = choice.session;
    require(ticket_drawn == (choice.affinity == Affinity::fresh), "a ticket is drawn exactly by the rotation");
    if (!choice.worker) {
        require(choice.affinity == Affinity::refused, "somebody is eligible");
        require(rules.nofailover && session.worker, "only sessions of known workers are refused");
        return;
    }
    require(*choice.worker < all.size() && all[*choice.worker].usable, "whoever is chosen can serve");
    require(choice.affinity == Affinity::route || !all[*choice.worker].draining, "a draining worker gets nobody new");
    switch (choice.affinity) {
        case Affinity::route:
            require(session.worker && all[*choice.worker].route == session.route, "the chosen worker has that route");
            break;
        case Affinity::failover:
            require(session.worker && !can_be_served(*session.worker), "no worker with the session's route can serve");
            break;
        case Affinity::hash:
            require(!session.id.empty() && !session.worker && rules.hash, "an id without a known route is hashed");
            break;
        case Affinity::fresh:
            require(!session.worker && (session.id.empty() || !rules.hash),
                    "there is no known route, and no id to hash");
            break;
        default: require(false, "an affinity that fits");
    }
}

constexpr SessionName sid = {"sid", "s"};
constexpr SessionName jsessionid = {"JSESSIONID", "jsessionid"};

// Which session is found where one name is configured, and where two are.
void check_names(std::string_view header, const std::vector<Cookie>& cookies, char separator) {
    const auto find = [&](std::vector<SessionName> names) {
        Rules rules;
        rules.separator = separator;
        rules.names = names;
        return find_session(read_claims({header, "/", {}, {}}, rules), rules, roster());
    };
    const Session first = find({sid});
    const Session second = find({jsessionid});
    check_preference(first, "sid", cookies, separator);
    check_preference(second, "JSESSIONID", cookies, separator);
    const char* expected = first.exists() ? first.value.data() : second.value.data();
    require(find({sid, jsessionid}).value.data() == expected, "of two names the first one present counts");
    require(!find({}).exists(), "without names there is no session");
}

// Where a request with that header goes.
void check_request(std::string_view header, char separator, bool nofailover, bool hash) {
    constexpr std::array names = {sid, jsessionid};
    Rules rules;
    rules.names = names;
    rules.separator = separator;
    rules.nofailover = nofailover;
    rules.hash = hash;
    const Claims claims = read_claims({header, "/", {}, "192.0.2.1"}, rules);
    std::atomic<std::uint64_t> next{0};
    Tickets tickets(next);
    const Choice choice = choose(claims, rules, roster(), tickets);
    if (choice.session.exists()) {
        require(lies_in(choice.session.value, header), "a session's value lies in the header");
        check_session(choice.session, separator);
    }
    check_choice(choice, rules, next == 1);
    const Choice again = choose(claims, rules, roster(), tickets);
    require(again.affinity == choice.affinity, "the same request has the same affinity");
    require(again.affinity == Affinity::fresh || again.worker == choice.worker, "and goes to the same worker");
}

// What a member is handed of a header whose ids had routes appended, and what it gives itself.
void check_appended(std::string_view header, std::string_view name) {
    const auto id_in = [](std::string_view value) { return without_last_route(value, '.', Keeping::given, roster()); };
    std::string kept(header);
    kept.resize(with_shorter_values(kept, name, kept.data(), id_in));
    CookieReader before(header, name), after(kept, name);
    while (const auto value = before.next()) {
        const auto shorter = after.next();
        // It need not be its beginning: what is left may be in quotes now, with a blank behind them.
        require(shorter && value->find(*shorter) != std::string_view::npos, "a value is a part of what it was");
    }
    require(!after.next(), "no cookie is made");
    std::string one(header);
    one.resize(with_shorter_value(header, one.data(), id_in));
    require(unquoted(one).size() <= unquoted(header).size(), "a header becomes no longer");

    const auto given = read_set_cookie(header, name);
    if (!given) return;
    require(lies_in(given->value, header) && lies_in(given->expires, header), "a given cookie lies in its header");
    require(header.starts_with(name), "and has that name");
}

}  // namespace
}  // namespace lbsticky

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace lbsticky;
    // A copy in memory of its own, so that a sanitizer notices a read behind its end.
    const std::vector<char> bytes(data, data + size);
    const std::string_view header(bytes.data(), bytes.size());

    const std::vector<Cookie> cookies = cookies_of(header);
    check_by_name(header, cookies, "sid");
    check_by_name(header, cookies, "JSESSIONID");
    check_appended(header, "sid");
    check_appended(header, "JSESSIONID");
    for (std::size_t i = 0; i < cookies.size() && i < 4; ++i) check_by_name(header, cookies, cookies[i].name);

    // Long headers are there for their length: short ones show everything else.
    const bool is_long = size > 1024;
    for (const char separator : {'.', '!', '\0'}) {
        check_names(header, cookies, separator);
        for (const unsigned how : {0U, 1U, 2U, 3U}) {
            check_request(header, separator, how & 1, how & 2);
            if (is_long) return 0;
        }
    }
    return 0;
}
