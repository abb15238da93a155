#include "httpd/reports.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/masked_url.hpp"
#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

Counts counts_of(const WorkerTally& tally) noexcept {
    Counts counts;
    for (std::size_t i = 0; i < served_affinities; ++i)
        counts.requests[i] = tally.requests[i].load(std::memory_order_relaxed);
    counts.moved_away = tally.moved_away.load(std::memory_order_relaxed);
    return counts;
}

// `all_fresh`: new sessions of all workers.
void add_counts(WorkerReport& line, const WorkerTally& tally, std::uint64_t all_fresh) noexcept {
    const auto later = [](std::uint64_t now, const std::atomic<std::uint64_t>& before) {
        return now - std::min(now, before.load(std::memory_order_relaxed));
    };
    line.counts = counts_of(tally);
    line.fresh = later(line.counts.of(Affinity::fresh), tally.fresh_before);
    // Requests may be counted while this is read.
    line.all_fresh = std::max(later(all_fresh, tally.all_fresh_before), line.fresh);
}

void add_activity(WorkerReport& line, const Activity& activity, const Drain& drain, Milliseconds now) {
    line.in_flight = activity.in_flight();
    line.sessions = activity.sessions(seconds(now));
    const Milliseconds last_asked = activity.last_sticky();
    const Milliseconds status_since = activity.life().since();
    const Milliseconds since = activity.life().draining_since();
    // Others go on while this is read.
    const Milliseconds present = std::max({now, last_asked, status_since, since});
    if (last_asked != 0) line.sticky_age = (present - last_asked) / 1000;
    if (status_since != 0) line.status_age = (present - status_since) / 1000;
    if (since != 0) {
        line.draining_age = (present - since) / 1000;
        if (drain.deadline > 0) line.deadline_left = (std::max(drain.over_at(since), present) - present + 999) / 1000;
    }
    line.drain_lacks = what_drain_lacks(line.status, line.in_flight, drain.quiet_left(since, last_asked, present));
    line.status.drained = line.drain_lacks.empty();
}

// A virtual host's name, and the port of its ServerName or else of its <VirtualHost>; <VirtualHost *> has none.
std::string label_of(const server_rec& host) {
    const unsigned port = host.port != 0 || !host.addrs ? host.port : host.addrs->host_port;
    return host.server_hostname + (port != 0 ? ":" + std::to_string(port) : "");
}

std::string text_with_keeping(const SessionName& name) {
    std::string text = text_of(name);
    if (name.keeping != Keeping::given) text.append(" route=").append(word_for(name.keeping));
    return text;
}

LearnedReport report_of(const LearnedSessions& learned) {
    LearnedReport report;
    report.held = learned.held();
    report.places = learned.table().places();
    report.idle = learned.idle();
    report.evicted = learned.table().evicted();
    report.dropped = learned.table().dropped();
    if (!learned.store_settings()) return report;

    const StoreCounts& counts = learned.store_counts();
    const auto number = [](const StoreCounts::Count& count) { return count.load(std::memory_order_relaxed); };
    constexpr std::array<const char*, 3> states{"unknown", "here", "away"};
    StoreReport& store = report.store.emplace();
    store.address = store_text(*learned.store_settings());
    store.state = states[static_cast<std::size_t>(counts.state.load(std::memory_order_relaxed))];
    store.look_ups = {number(counts.hits),       number(counts.misses), number(counts.unanswered),
                      number(counts.remembered), number(counts.capped), number(counts.while_away)};
    store.stored = number(counts.stored);
    store.dropped = number(counts.dropped);
    store.failures = number(counts.failures);
    return report;
}

BalancerReport read_report(proxy_balancer& balancer, server_rec* server, bool with_learned) {
    Balancer* own = Balancer::of(balancer);
    if (!own || !own->is_intact()) throw std::runtime_error("its shared memory is missing or damaged");

    BalancerReport report;
    report.name = balancer.s->name + sizeof(BALANCER_PREFIX) - 1;
    if (server->is_virtual) report.server = label_of(*server);
    SessionName from_stickysession;
    for (const SessionName& name : own->session_names(from_stickysession))
        report.sessions.push_back(text_with_keeping(name));
    report.hash = own->settings.hash_or_default();
    report.placement = own->settings.placement_or_default();
    report.limits = own->settings.limits_or_default();
    report.cookie = own->cookie_name;
    report.cookie_where_needed = own->cookie.given == CookieSettings::Given::where_needed && !report.sessions.empty();
    report.cookie_attributes = attributes_text(own->cookie.attributes, false);
    if (own->cookie.attributes.secure == CookieAttributes::Secure::automatic)
        report.cookie_attributes += "; Secure (over TLS)";
    report.has_secret = own->settings.secrets.has_value();

    SharedState& shared = own->shared;
    report.gone = counts_of(shared.gone);
    for (const auto& [which, name, help] : balancer_counts)
        report.counts[which] = shared.counts[which].load(std::memory_order_relaxed);
    std::uint64_t& unknown_routes = report.counts[Count::unknown_routes];
    unknown_routes += shared.gone.unknown_routes.load(std::memory_order_relaxed);
    for (const WorkerTally* tally : own->tallies)
        if (tally) unknown_routes += tally->unknown_routes.load(std::memory_order_relaxed);

    if (with_learned && own->learned) report.learned = report_of(*own->learned);

    const ThreadLock lock(balancer);
    mod_proxy.sync_balancer(&balancer, server, balancer.sconf);
    const Roster& roster = own->roster.read_again(nullptr);
    std::vector<bool> in_rotation(roster.workers().size());
    std::set<const WorkerTally*> shown;
    for (const auto index : roster.eligible()) in_rotation[index] = true;
    std::set<std::string> urls;
    const std::uint64_t all_fresh = shared.all_fresh(own->tallies);
    const Milliseconds now = steady_now();
    for (std::size_t i = 0; i < roster.workers().size(); ++i) {
        const Worker& reading = roster.workers()[i];
        const proxy_worker& worker = *own->roster.worker(i);
        WorkerReport entry;
        entry.url = masked_url(reading.url);
        // Metrics tell workers apart by their URL alone, and two may differ only in the password.
        while (!urls.insert(entry.url).second) entry.url += "'";
        entry.route = reading.route;
        if (!report.has_secret && !report.cookie.empty())
            entry.cookie = std::string(own->cookie_mark()) + reading.ids.front();
        entry.status = reading;
        entry.busy = worker.s->busy;
        entry.factor = reading.factor;
        entry.in_rotation = in_rotation[i];
        entry.status.recovering = entry.in_rotation && roster.is_held_back(i);
        entry.part_of_share = static_cast<std::uint32_t>(roster.part_of_share(i, now) * 1000 >> 32);
        if (const WorkerTally* tally = own->tally_of(worker)) {
            add_counts(entry, *tally, all_fresh);
            shown.insert(tally);
        }
        entry.status.probing = reading.activity && reading.activity->probe().is_under_way();
        if (reading.activity) add_activity(entry, *reading.activity, own->drain.drain, now);
        report.add(std::move(entry));
    }
    for (const WorkerTally* tally : own->tallies)
        if (tally && !shown.contains(tally)) report.gone += counts_of(*tally);
    return report;
}

std::optional<BalancerReport> try_report(proxy_balancer& balancer, server_rec* server, const request_rec* r,
                                         bool with_learned) noexcept {
    if (!is_ours(balancer)) return std::nullopt;
    return guarded([&] { return std::optional(read_report(balancer, server, with_learned)); },
                   [&](const char* why) -> std::optional<BalancerReport> {
                       ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: cannot be shown: %s", balancer.s->name, why);
                       return std::nullopt;
                   });
}

}  // namespace

std::optional<BalancerReport> report_of(proxy_balancer& balancer, server_rec* server, const request_rec* r) noexcept {
    return try_report(balancer, server, r, true);
}

std::optional<BalancerReport> report_without_learned_of(proxy_balancer& balancer, server_rec* server,
                                                        const request_rec* r) noexcept {
    return try_report(balancer, server, r, false);
}

std::vector<BalancerReport> reports_known_to(const server_rec* asked, const request_rec* r) {
    std::vector<BalancerReport> reports;
    std::set<std::pair<std::string, std::string>> names;
    for_each_balancer_known_to(asked, [&](proxy_balancer& balancer, server_rec* server) {
        auto report = report_of(balancer, server, r);
        if (!report) return;
        // Virtual hosts may have the same name and port. The first of them gets all requests.
        while (!names.emplace(report->name, report->server).second) report->server += "'";
        reports.push_back(std::move(*report));
    });
    return reports;
}

}  // namespace lbsticky
