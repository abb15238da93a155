#include "core/status_page.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "core/ascii.hpp"
#include "core/escape.hpp"

namespace lbsticky {
namespace {

// What is shown of a balancer behind its requests by affinity.
struct Total {
    std::string_view column;  // in the section
    std::string_view key;     // in the lines
    std::uint64_t (*number)(const BalancerReport&);
};

template <auto member>
std::uint64_t of_balancer(const BalancerReport& balancer) {
    return std::invoke(member, balancer);
}

template <Count count>
std::uint64_t count_of(const BalancerReport& balancer) {
    return balancer.counts[count];
}

template <bool Status::*flag>
std::uint64_t members_that_are(const BalancerReport& balancer) {
    return balancer.members_that_are(flag);
}

constexpr std::array<Total, 13> totals{{
    {"In flight", "InFlight", of_balancer<&BalancerReport::in_flight>},
    {"Sessions", "Sessions", of_balancer<&BalancerReport::alive>},
    {"Moved away", "MovedAway", of_balancer<&BalancerReport::moved_away>},
    {"Refused", "Refused", count_of<Count::refused>},
    {"Cookies given", "CookiesIssued", count_of<Count::cookies_issued>},
    {"Cookies not understood", "CookiesUnknown", count_of<Count::cookies_unknown>},
    {"Cookies of older secrets", "CookiesOutdated", count_of<Count::cookies_outdated>},
    {"Members", "Members", [](const BalancerReport& balancer) -> std::uint64_t { return balancer.workers.size(); }},
    {"Failing", "Failing", of_balancer<&BalancerReport::failing>},
    {"Draining", "Draining", members_that_are<&Status::draining>},
    {"Recovering", "Recovering", members_that_are<&Status::recovering>},
    {"Probing", "Probing", members_that_are<&Status::probing>},
    {"Drained", "Drained", members_that_are<&Status::drained>},
}};

std::string full_name(const BalancerReport& balancer) {
    return balancer.server.empty() ? balancer.name : balancer.name + " (" + balancer.server + ")";
}

// "route" as a key: "Route".
std::string key_for(std::size_t affinity) {
    std::string key = word_for(static_cast<Affinity>(affinity));
    key[0] = upper(key[0]);
    return key;
}

}  // namespace

std::string status_html(std::span<const BalancerReport> balancers) {
    std::string text = "<hr />\n<h2>Session persistence (lbmethod sticky)</h2>\n<table border='0'><tr>";
    const auto head = [&text](std::string_view column) { text.append("<th>").append(column).append("</th>"); };
    const auto cell = [&text](std::uint64_t number) { text += "<td>" + std::to_string(number) + "</td>"; };
    head("Balancer");
    for (std::size_t i = 0; i < served_affinities; ++i) head(word_for(static_cast<Affinity>(i)));
    for (const Total& total : totals) head(total.column);
    head("Learned sessions");
    text += "</tr>\n";
    for (const BalancerReport& balancer : balancers) {
        text += "<tr><td>" + escape_markup(full_name(balancer)) + "</td>";
        for (const std::uint64_t requests : balancer.totals()) cell(requests);
        for (const Total& total : totals) cell(total.number(balancer));
        cell(balancer.learned ? balancer.learned->held : 0);
        text += "</tr>\n";
    }
    return text + "</table>\n";
}

std::string status_lines(std::span<const BalancerReport> balancers) {
    std::string text;
    for (std::size_t i = 0; i < balancers.size(); ++i) {
        const BalancerReport& balancer = balancers[i];
        const std::string prefix = "StickyBalancer[" + std::to_string(i) + "]";
        const auto line = [&](std::string_view key, std::string_view value) {
            text.append(prefix).append(key).append(": ").append(value).append("\n");
        };
        line("Name", escape_label(full_name(balancer)));
        const auto requests = balancer.totals();
        for (std::size_t a = 0; a < served_affinities; ++a) line(key_for(a), std::to_string(requests[a]));
        for (const Total& total : totals) line(total.key, std::to_string(total.number(balancer)));
        if (!balancer.learned) continue;
        line("LearnedSessions", std::to_string(balancer.learned->held));
        line("LearnedEvicted", std::to_string(balancer.learned->evicted));
        if (!balancer.learned->store) continue;
        line("StoreState", balancer.learned->store->state);
        line("StoreHits", std::to_string(balancer.learned->store->look_ups[0]));
        line("StoreMisses", std::to_string(balancer.learned->store->look_ups[1]));
        line("StoreFailures", std::to_string(balancer.learned->store->failures));
    }
    return text;
}

}  // namespace lbsticky
