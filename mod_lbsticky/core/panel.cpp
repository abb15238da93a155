#include "core/panel.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "core/duration.hpp"
#include "core/escape.hpp"
#include "core/figures.hpp"
#include "core/standing.hpp"

namespace lbsticky {
namespace {

// The columns of the panel's table: first what decisions need.
std::vector<std::string_view> panel_columns() {
    std::vector<std::string_view> columns{"Member",
                                          "Status",
                                          "In flight",
                                          "Sessions",
                                          "Share by weight",
                                          "Share of new sessions",
                                          "Last sticky request",
                                          "Moved away"};
    for (std::size_t i = 0; i < served_affinities; ++i) columns.emplace_back(word_for(static_cast<Affinity>(i)));
    columns.insert(columns.end(), {"Route", "Cookie value"});
    return columns;
}

// Tables look like those of the page around them. The heads of the columns and the sums below them stay in sight, for
// which cells need borders of their own: those that they share scroll away. An empty <i> is a bar, filled to the width
// --w; rows of class t are of members that somebody should look at.
constexpr std::string_view style = R"(<style>
.lbsticky ul { padding-left: 1.2em; }
.lbsticky table { font-size: .85em; border-collapse: separate; border-spacing: 0; }
.lbsticky th, .lbsticky td { border-width: 0 1px 1px 0; }
.lbsticky caption { text-align: left; padding: 2px; }
.lbsticky thead { position: sticky; top: 0; background: lightgray; }
.lbsticky thead td { background: lightgray; }
.lbsticky tr > :nth-child(-n + 2) { text-align: left; }
.lbsticky tr > :nth-child(1) { min-width: 12em; }
.lbsticky tr > :nth-child(2) { min-width: 10em; }
.lbsticky tbody th { overflow-wrap: anywhere; }
.lbsticky tr > :nth-child(n + 9) { font-size: .9em; }
.lbsticky td:nth-child(n + 16) { min-width: 3.5em; overflow-wrap: anywhere; }
.lbsticky tr > :first-child { border-left: .4em solid lightgray; }
.lbsticky tbody th { font-weight: normal; }
.lbsticky .t > :first-child { border-left-color: black; }
.lbsticky .t > :nth-child(2) { font-weight: bold; }
.lbsticky i { display: block; width: 4em; height: .6em; margin: 0 auto; border: 1px solid gray;
              background: linear-gradient(gray, gray) no-repeat 0 / var(--w) 100%; }
)";

// On a narrow screen each member becomes a card: its cells stand below or beside each other, each behind the name of
// its column. Rows are still displayed as rows, or browsers would no longer take this for a table.
constexpr std::string_view style_of_cards = R"(@media (max-width: 50em) {
 .lbsticky thead tr:first-child { position: absolute; left: -999em; }
 .lbsticky tr { text-align: left; }
 .lbsticky td { display: inline-block; border-width: 0; padding: 1px .8em 1px 2px; }
 .lbsticky th, .lbsticky td:nth-child(2) { display: block; }
 .lbsticky td:empty { display: none; }
 .lbsticky i { display: inline-block; margin: 0 .3em 0 0; }
)";

std::string style_sheet() {
    std::string text(style);
    text += style_of_cards;
    const std::vector<std::string_view> columns = panel_columns();
    for (std::size_t i = 1; i < columns.size(); ++i)
        text.append(" .lbsticky td:nth-child(" + std::to_string(i + 1) + ")::before { content: \"")
            .append(columns[i])
            .append(": \"; }\n");
    return text + "}\n</style>\n";
}

constexpr std::string_view viewport = "<meta name='viewport' content='width=device-width, initial-scale=1'>\n";

std::string percent(std::uint64_t part, std::uint64_t whole) {
    std::array<char, 32> text{};
    const double value = whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, 1).ptr;
    return std::string(text.data(), end) + "%";
}

// The words of its status, for machines.
std::string statuses(const WorkerReport& worker) {
    std::string text;
    for (const auto& [word, flag] : status_words)
        if (worker.status.*flag) text.append(text.empty() ? "" : " ").append(word);
    return text;
}

std::string bar(std::uint64_t part, std::uint64_t whole) {
    const std::string share = percent(part, whole);
    return "<i style=--w:" + share + "></i>" + share;
}

// A row of the table. Cells are HTML; the first one is the row's header. Quotes and the end tags of cells, which HTML
// makes optional, are left out: there may be thousands of members.
std::string row(std::span<const std::string> cells, bool marked = false) {
    std::string text = (marked ? "<tr class=t><th scope=row>" : "<tr><th scope=row>") + cells[0];
    for (const std::string& cell : cells.subspan(1)) text.append("<td>").append(cell);
    return text + "</tr>\n";
}

std::string row_of(const BalancerReport& balancer, const WorkerReport& worker) {
    std::vector<std::string> cells{
        escape_markup(worker.url),
        phrase_for(worker),
        std::to_string(worker.in_flight),
        std::to_string(worker.sessions),
        bar(worker.weight(), balancer.weights),
        bar(worker.fresh, worker.all_fresh),
        worker.sticky_age ? duration_text(*worker.sticky_age) + " ago" : "never",
        std::to_string(worker.counts.moved_away),
    };
    for (const std::uint64_t requests : worker.counts.requests) cells.push_back(std::to_string(requests));
    cells.push_back(escape_markup(worker.route));
    cells.push_back(balancer.has_secret ? "secret" : escape_markup(worker.cookie));
    return row(cells, standing_of(worker.status) < Standing::standby);
}

// "1 in error, 199 usable".
std::string standings_of(const BalancerReport& balancer) {
    std::array<std::size_t, standing_words.size()> numbers{};
    for (const WorkerReport& worker : balancer.workers) ++numbers[static_cast<std::size_t>(standing_of(worker.status))];
    std::string text;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (numbers[i] == 0) continue;
        text.append(text.empty() ? "" : ", ").append(std::to_string(numbers[i]) + " ").append(standing_words[i]);
    }
    return text;
}

std::string row_of_sums(const BalancerReport& balancer) {
    Counts sums;
    for (const WorkerReport& worker : balancer.workers) sums += worker.counts;
    const std::size_t members = balancer.workers.size();
    std::vector<std::string> cells{std::to_string(members) + (members == 1 ? " member" : " members"),
                                   standings_of(balancer),
                                   std::to_string(balancer.in_flight),
                                   std::to_string(balancer.alive),
                                   "",
                                   "",
                                   "",
                                   std::to_string(sums.moved_away)};
    for (const std::uint64_t requests : sums.requests) cells.push_back(std::to_string(requests));
    cells.insert(cells.end(), 2, "");
    return row(cells);
}

// Its workers, those first that somebody should look at.
std::vector<const WorkerReport*> in_order(const BalancerReport& balancer) {
    std::vector<const WorkerReport*> workers;
    for (const WorkerReport& worker : balancer.workers) workers.push_back(&worker);
    std::stable_sort(workers.begin(), workers.end(), [](const WorkerReport* one, const WorkerReport* other) {
        return standing_of(one->status) < standing_of(other->status);
    });
    return workers;
}

std::string count(std::uint64_t number, std::string_view what, std::string_view before = {}) {
    return std::string(before).append(std::to_string(number)).append(" ").append(what);
}

std::string sessions_of(const BalancerReport& balancer) {
    std::string text;
    for (const std::string& session : balancer.sessions)
        text.append(text.empty() ? "" : " ").append("<code>").append(escape_markup(session)).append("</code>");
    return text.empty() ? "none is looked for" : text;
}

std::string cookie_of(const BalancerReport& balancer) {
    if (balancer.cookie.empty()) return "none";
    return "<code>" + escape_markup(balancer.cookie + balancer.cookie_attributes) + "</code>, given " +
           (balancer.cookie_where_needed ? "where it is needed" : "to every client") +
           (balancer.has_secret ? ", signed with a secret: " : ", not signed: ") +
           count(balancer.counts[Count::cookies_issued], "given, ") +
           count(balancer.counts[Count::cookies_unknown], "not understood") +
           (balancer.has_secret ? count(balancer.counts[Count::cookies_outdated], "signed with an older secret", ", ")
                                : "");
}

std::string limits_of(const Limits& limits) {
    std::string text;
    const auto add = [&text](std::string_view word, std::uint32_t limit) {
        if (limit == 0) return;
        text.append(text.empty() ? "; limits, requests in flight for a load factor of 1: " : ", ");
        text.append(word).append("=").append(std::to_string(limit));
    };
    add("new", limits.fresh);
    add("all", limits.all);
    return text;
}

std::string learned_of(const LearnedReport& learned) {
    std::string text = count(learned.held, "of ") + count(learned.places, "in the table, until they are idle for ") +
                       duration_text(learned.idle) + count(learned.evicted, "evicted", "; ") +
                       (learned.dropped ? count(learned.dropped, "not learned for want of room", ", ") : "");
    if (!learned.store) return text;
    const StoreReport& store = *learned.store;
    text += "</li>\n<li>Store: <code>" + escape_markup(store.address) + "</code>, " + escape_markup(store.state) +
            "; look-ups by result: ";
    for (std::size_t i = 0; i < look_up_words.size(); ++i)
        text.append(i ? ", " : "").append(look_up_words[i]).append(" ").append(std::to_string(store.look_ups[i]));
    return text + count(store.stored, "stored", "; ") + count(store.dropped, "dropped", ", ") +
           count(store.failures, "failures", ", ");
}

std::string element(std::string_view name, std::string_view text) {
    return std::string("<httpd:").append(name) + ">" + escape_markup(text) + "</httpd:" + std::string(name) + ">";
}

std::string element(std::string_view name, std::uint64_t number) {
    return element(name, std::to_string(number));
}

constexpr std::string_view in_balancer = "\n        ";
constexpr std::string_view in_member = "\n            ";

}  // namespace

std::string panel_html(const BalancerReport& balancer, bool with_style) {
    std::string text = "<div class='lbsticky'>\n";
    if (with_style) text.append(viewport).append(style_sheet());
    text += "<h4>Session persistence</h4>\n<ul>\n<li>Session id: " + sessions_of(balancer) + "</li>\n";
    text += "<li>Own cookie: " + cookie_of(balancer) + "</li>\n";
    text += std::string("<li>Session ids without a known route: placed ") +
            (balancer.hash ? "by consistent hashing: " : "like new sessions: ") +
            count(balancer.counts[Count::unknown_routes], "requests") + "</li>\n";
    if (balancer.learned) text += "<li>Learned sessions: " + learned_of(*balancer.learned) + "</li>\n";
    text += "<li>New sessions: placed by " + std::string(word_for(balancer.placement)) + limits_of(balancer.limits) +
            "</li>\n";
    text += "<li>Refused: " + count(balancer.counts[Count::refused], "requests") + "</li>\n</ul>\n";

    text += "<table><caption>Members, those first that need a look; their requests by affinity</caption>\n<thead><tr>";
    for (const auto column : panel_columns()) text.append("<th scope=col>").append(column);
    text += "</tr>\n" + row_of_sums(balancer) + "</thead>\n<tbody>\n";
    for (const WorkerReport* worker : in_order(balancer)) text += row_of(balancer, *worker);
    return text + "</tbody></table>\n</div>\n";
}

std::string panel_xml(const BalancerReport& balancer) {
    std::string text = "<httpd:sticky>";
    const auto add = [&text](std::string_view indent, const std::string& what) { text.append(indent).append(what); };
    for (const std::string& session : balancer.sessions) add(in_balancer, element("session", session));
    add(in_balancer, element("hash", balancer.hash ? "On" : "Off"));
    add(in_balancer, element("place", word_for(balancer.placement)));
    add(in_balancer, element("limit_new", balancer.limits.fresh));
    add(in_balancer, element("limit_all", balancer.limits.all));
    if (!balancer.cookie.empty()) {
        add(in_balancer, element("cookie", balancer.cookie));
        add(in_balancer, element("cookie_given", balancer.cookie_where_needed ? "auto" : "always"));
        add(in_balancer, element("cookie_attributes", balancer.cookie_attributes));
        add(in_balancer, element("secret", balancer.has_secret ? "On" : "Off"));
    }
    for (const BalancerCount& count : balancer_counts)
        add(in_balancer, element(count.name, balancer.counts[count.which]));
    if (const auto& learned = balancer.learned) {
        add(in_balancer, element("table_sessions", learned->held));
        add(in_balancer, element("table_places", learned->places));
        add(in_balancer, element("table_idle", learned->idle));
        add(in_balancer, element("table_evicted", learned->evicted));
        add(in_balancer, element("table_dropped", learned->dropped));
    }
    if (balancer.learned && balancer.learned->store) {
        const StoreReport& store = *balancer.learned->store;
        add(in_balancer, element("store", store.address));
        add(in_balancer, element("store_state", store.state));
        for (std::size_t i = 0; i < look_up_words.size(); ++i)
            add(in_balancer, "<httpd:store_look_ups result='" + std::string(look_up_words[i]) + "'>" +
                                 std::to_string(store.look_ups[i]) + "</httpd:store_look_ups>");
        add(in_balancer, element("store_stored", store.stored));
        add(in_balancer, element("store_dropped", store.dropped));
        add(in_balancer, element("store_failures", store.failures));
    }
    for (const WorkerReport& worker : balancer.workers) {
        add(in_balancer, "<httpd:member>");
        add(in_member, element("name", worker.url));
        add(in_member, element("status", statuses(worker)));
        add(in_member, element("route", worker.route));
        if (!balancer.has_secret) add(in_member, element("cookie_value", worker.cookie));
        add(in_member, element("wanted", percent(worker.weight(), balancer.weights)));
        add(in_member, element("new_sessions", percent(worker.fresh, worker.all_fresh)));
        for (std::size_t i = 0; i < served_affinities; ++i) {
            // Many members make a long page: what cannot be there is left out.
            if (static_cast<Affinity>(i) == Affinity::learned && !balancer.learned) continue;
            add(in_member, std::string("<httpd:requests affinity='") + word_for(static_cast<Affinity>(i)) + "'>" +
                               std::to_string(worker.counts.requests[i]) + "</httpd:requests>");
        }
        add(in_member, element("moved_away", worker.counts.moved_away));
        for (const WorkerFigure& figure : worker_figures) {
            const auto number = figure.number(worker);
            if (number && !figure.xml.empty()) add(in_member, element(figure.xml, *number));
        }
        add(in_balancer, "</httpd:member>");
    }
    return text + "\n      </httpd:sticky>";
}

}  // namespace lbsticky
