#include "core/explanation.hpp"

#include <algorithm>

#include "core/activity.hpp"
#include "core/escape.hpp"
#include "core/masked_url.hpp"
#include "core/session.hpp"
#include "core/standing.hpp"

namespace lbsticky {
namespace {

// What a worker can do, as far as it is of interest here.
std::string ability_of(std::size_t index, const Roster& roster, const Rules& rules) {
    const Worker& worker = roster.workers()[index];
    if (roster.is_due(index)) return "in error, but retry= is over: this request tries it";
    const bool is_tried = worker.activity && worker.activity->probe().is_under_way();
    if (worker.in_error && is_tried) return "in error, another request tries it";
    const Standing standing = standing_of(worker);
    std::string text(word_for(standing));
    if (standing == Standing::draining)
        text += worker.is_drain_over ? ", its deadline is over" : ", serves its own sessions";
    if (!worker.usable || !is_full(worker, rules.limits.all)) return text;
    return standing == Standing::usable ? "full" : text + ", full";
}

class Steps {
public:
    Steps(const Claims& claims, const Rules& rules, const Roster& roster, const Choice& choice, bool asks_store)
        : claims_(claims), rules_(rules), roster_(roster), choice_(choice), asks_store_(asks_store) {}

    std::vector<Explanation::Step> take() {
        // In the order of the table, to the line that decides.
        route();
        cookie();
        learned();
        if (is(Affinity::overload)) {
            if (!is_named()) hash();
        } else if (is_named()) {
            list();
            redirect();
            nofailover();
            failover();
        } else {
            hash();
            hash_failover();
            fresh();
        }
        overload();
        return std::move(steps_);
    }

private:
    using Found = std::optional<std::size_t>;

    // Notes a line, unless one before it has decided.
    void add(Affinity affinity, std::string text, bool decides) {
        if (decided_) return;
        if (decides && choice_.other && !is(Affinity::overload)) text += ", rather than " + member(*choice_.other);
        decided_ = decides;
        steps_.push_back({word_for(affinity), std::move(text), decides});
    }

    bool is(Affinity affinity) const noexcept { return choice_.affinity == affinity; }

    bool is_named() const noexcept { return choice_.named() && !is_session_over(rules_, roster_, choice_); }

    std::string member(std::size_t index) const {
        return masked_url(roster_.workers()[index].url) + " (" + ability_of(index, roster_, rules_) + ")";
    }

    // The members that share a route.
    std::string members(std::size_t first) const {
        std::string text;
        for (Found worker = first; worker; worker = roster_.same_route(*worker))
            text.append(text.empty() ? "" : ", ").append(member(*worker));
        return text;
    }

    bool has_route_of(Found worker, std::string_view route) const {
        return worker && !route.empty() && roster_.workers()[*worker].route == route;
    }

    std::string session() const { return std::string(choice_.session.name) + "=" + shortened(choice_.session.value); }

    void route() {
        const Session& session_found = choice_.session;
        std::string text;
        if (session_found.worker) {
            // Who knows a token reaches its member.
            const bool is_token = rules_.has_secret && !has_route_of(session_found.worker, session_found.route);
            text = session() + ", " + (is_token ? "a token" : std::string(session_found.route)) + ": " +
                   members(*session_found.worker);
        } else if (session_found.exists()) {
            text = session() + " has no route of a member";
            const bool has_route = !session_found.route.empty();  // there may be members without one
            if (has_route && is_nearly_known(session_found.route, roster_))
                text += ": " + std::string(session_found.route);
        } else if (rules_.names.empty()) {
            text = "no session id is looked for";
        } else {
            for (const SessionName& name : rules_.names) text.append(text.empty() ? "no " : ", ").append(text_of(name));
        }
        add(Affinity::route, text, is(Affinity::route));
    }

    void cookie() {
        const std::string name(rules_.cookie_name);
        std::string text = "no cookie " + name;
        if (name.empty())
            text = "the balancer has no cookie of its own";
        else if (choice_.cookie.worker)
            text = name + " names " + member(*choice_.cookie.worker);
        else if (choice_.cookie.present)
            text = name + " names no member";
        if (is_session_over(rules_, roster_, choice_)) text += "; no session id is with it: the session is over";
        add(Affinity::cookie, text, is(Affinity::cookie));
    }

    void learned() {
        const auto is_learned = [](const SessionName& name) { return name.keeping == Keeping::learn; };
        if (std::none_of(rules_.names.begin(), rules_.names.end(), is_learned)) return;
        std::string text = "no session id that could have been learned";
        if (choice_.learned)
            text = "learned from " + member(*choice_.learned);
        else if (claims_.learned)
            text = "learned from a member that is there no more";
        else if (claims_.from && is_learned(*claims_.from))
            text = "the session id has not been learned";
        if (asks_store_ && !choice_.session.worker && !choice_.cookie.worker) text += "; a request would ask the store";
        add(Affinity::learned, text, is(Affinity::learned));
    }

    void list() {
        std::string text;
        bool decides = false;
        for (const std::uint16_t further : choice_.session.further_workers()) {
            text.append(text.empty() ? "the session names further members: " : ", ").append(members(further));
            decides =
                decides || choice_.worker == further || has_route_of(choice_.worker, roster_.workers()[further].route);
        }
        if (!text.empty()) add(Affinity::failover, text, is(Affinity::failover) && decides);
    }

    void redirect() {
        for (const Found named : {choice_.session.worker, choice_.cookie.worker, choice_.learned}) {
            Found from = named;
            for (std::size_t steps = 0; from && steps < roster_.workers().size(); ++steps) {
                const std::string& redirect = roster_.workers()[*from].redirect;
                if (redirect.empty()) break;
                const Found to = roster_.find(redirect);
                add(Affinity::failover, "redirect=" + redirect + ": " + (to ? members(*to) : "no member's route"),
                    is(Affinity::failover) && has_route_of(choice_.worker, redirect));
                from = to;
            }
        }
    }

    void nofailover() {
        if (rules_.nofailover) add(Affinity::refused, "nofailover=On", is(Affinity::refused));
    }

    void failover() {
        const std::string by = choice_.session.id.empty() ? "the client's address" : "the session id";
        add(Affinity::failover,
            choice_.worker ? "another member, by consistent hashing of " + by : "nobody else can serve",
            is(Affinity::failover));
    }

    void hash() {
        const Found home = is(Affinity::hash) ? choice_.worker : is(Affinity::overload) ? choice_.other : choice_.home;
        std::string text = "no member holds it by consistent hashing";
        if (choice_.session.id.empty())
            text = "no session id to hash";
        else if (!rules_.hash)
            text = "LBStickyHash is off";
        else if (home)
            text = "consistent hashing gives the session id to " + member(*home);
        add(Affinity::hash, text, is(Affinity::hash));
    }

    void hash_failover() {
        if (!choice_.home) return;
        add(Affinity::failover, choice_.worker ? "the next one by consistent hashing" : "nobody else can serve",
            is(Affinity::failover));
    }

    void fresh() {
        if (!is(Affinity::fresh)) return;
        std::string text = "LBStickyPlace " + std::string(word_for(rules_.placement));
        if (!choice_.worker)
            text = "nobody can serve";
        else if (roster_.is_due(*choice_.worker))
            text = member(*choice_.worker);
        add(Affinity::fresh, text, true);
    }

    void overload() {
        if (is(Affinity::overload))
            add(Affinity::overload, "for this request only, since its member is full: " + member(*choice_.other), true);
    }

    const Claims& claims_;
    const Rules& rules_;
    const Roster& roster_;
    const Choice& choice_;
    const bool asks_store_;
    std::vector<Explanation::Step> steps_;
    bool decided_ = false;
};

// A line for a terminal, in ASCII: what clients have written into it neither begins another one nor moves the cursor.
std::string line(std::string_view mark, std::string_view word, std::string_view text) {
    constexpr std::size_t width = 10;
    std::string result = std::string(mark) + std::string(word);
    result.resize(mark.size() + std::max(width, word.size() + 1), ' ');
    result += text;
    std::replace_if(
        result.begin(), result.end(), [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
    return result + "\n";
}

}  // namespace

std::vector<Explanation::Step> steps_of(const Claims& claims, const Rules& rules, const Roster& roster,
                                        const Choice& choice, bool asks_store) {
    return Steps(claims, rules, roster, choice, asks_store).take();
}

std::string explanation_text(const Explanation& explanation) {
    std::string text = explanation.balancer + "\n";
    for (const Explanation::Step& step : explanation.steps)
        text += line(step.decides ? "> " : "  ", step.word, step.text);
    const std::string route = explanation.route.empty() ? "" : ", route " + explanation.route;
    std::string goes_to = explanation.member.empty() ? "nobody: 503" : explanation.member + route;
    for (const std::string& unless : explanation.unless) goes_to.append(", unless ").append(unless);
    text += line("", "goes to", goes_to);
    for (const std::string& given : explanation.given) text += line("", "is given", given);
    return text;
}

std::string explanation_json(const Explanation& explanation) {
    std::string text = "{\"balancer\": " + json_string(explanation.balancer) +
                       ",\n \"affinity\": " + json_string(word_for(explanation.affinity)) +
                       ", \"member\": " + (explanation.member.empty() ? "null" : json_string(explanation.member)) +
                       ", \"route\": " + json_string(explanation.route) + ",\n \"steps\": [";
    bool first = true;
    for (const Explanation::Step& step : explanation.steps) {
        text.append(first ? "\n" : ",\n")
            .append("  {\"line\": " + json_string(step.word) + ", \"text\": " + json_string(step.text) +
                    ", \"decides\": " + (step.decides ? "true" : "false") + "}");
        first = false;
    }
    const auto list = [&text](const char* key, const std::vector<std::string>& sentences) {
        text.append("],\n ").append(key).append(": [");
        for (std::size_t i = 0; i < sentences.size(); ++i) text.append(i ? ", " : "").append(json_string(sentences[i]));
    };
    list("\"unless\"", explanation.unless);
    list("\"given\"", explanation.given);
    return text + "]}\n";
}

}  // namespace lbsticky
