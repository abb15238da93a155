#include "core/metrics.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/escape.hpp"
#include "core/figures.hpp"

namespace lbsticky {
namespace {

std::string ratio(std::uint64_t part, std::uint64_t whole) {
    std::array<char, 32> text{};
    const double value = whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
    return {text.data(),
            std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6).ptr};
}

std::string number_or(std::string_view none, std::optional<std::uint64_t> number) {
    return number ? std::to_string(*number) : std::string(none);
}

std::string word_of(std::size_t affinity) {
    return word_for(static_cast<Affinity>(affinity));
}

// Writes families of metrics: each with its type and help, then its samples.
class Exposition {
public:
    Exposition(std::span<const BalancerReport> balancers, bool open_metrics)
        : balancers_(balancers), open_metrics_(open_metrics) {}

    // Begins a family. In OpenMetrics its name is that of its samples without the suffix of its type.
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        std::string_view suffix = type == "counter" ? "_total" : type == "info" ? "_info" : "";
        std::string family_name = name_;
        if (!open_metrics_ && type == "info") type = "gauge";
        if (open_metrics_) family_name.resize(family_name.size() - suffix.size());
        text_.append("# HELP ").append(family_name).append(" ").append(help).append("\n");
        text_.append("# TYPE ").append(family_name).append(" ").append(type).append("\n");
    }

    // One sample.
    void sample(std::string_view labels, std::string_view value) {
        text_.append(name_).append("{").append(labels).append("} ").append(value).append("\n");
    }

    // One sample for each balancer: value(balancer).
    template <typename Value>
    void each_balancer(Value&& value) {
        for (const BalancerReport& balancer : balancers_) sample(labels_of(balancer), std::to_string(value(balancer)));
    }

    // Calls write(labels, learned) for each balancer that learns sessions.
    template <typename Write>
    void each_learned(Write&& write) {
        for (const BalancerReport& balancer : balancers_)
            if (balancer.learned) write(labels_of(balancer), *balancer.learned);
    }

    // Calls write(labels, store) for each of those that has a store.
    template <typename Write>
    void each_store(Write&& write) {
        each_learned([&](const std::string& labels, const LearnedReport& learned) {
            if (learned.store) write(labels, *learned.store);
        });
    }

    // Calls write(labels, balancer, worker) for each worker.
    template <typename Write>
    void each_worker(Write&& write) {
        for (const BalancerReport& balancer : balancers_)
            for (const WorkerReport& worker : balancer.workers)
                write(labels_of(balancer, worker.url), balancer, worker);
    }

    // Calls write(labels, counts) for each worker; and once for all that are gone, if anything was counted for them.
    template <typename Write>
    void each_counts(Write&& write) {
        for (const BalancerReport& balancer : balancers_) {
            for (const WorkerReport& worker : balancer.workers) write(labels_of(balancer, worker.url), worker.counts);
            bool any = balancer.gone.moved_away > 0;
            for (const std::uint64_t requests : balancer.gone.requests) any = any || requests > 0;
            if (any) write(labels_of(balancer, "gone"), balancer.gone);
        }
    }

    std::string take() {
        if (open_metrics_) text_ += "# EOF\n";
        return std::move(text_);
    }

private:
    static std::string labels_of(const BalancerReport& balancer) {
        std::string labels = "balancer=\"" + escape_label(balancer.name) + "\"";
        // An empty label is the same as none.
        if (!balancer.server.empty()) labels += ",server=\"" + escape_label(balancer.server) + "\"";
        return labels;
    }
    static std::string labels_of(const BalancerReport& balancer, std::string_view worker) {
        return labels_of(balancer) + ",worker=\"" + escape_label(worker) + "\"";
    }

    std::span<const BalancerReport> balancers_;
    bool open_metrics_;
    std::string name_;
    std::string text_;
};

void learned(Exposition& out, std::span<const BalancerReport> balancers) {
    const auto learns = [](const BalancerReport& balancer) { return balancer.learned.has_value(); };
    if (std::none_of(balancers.begin(), balancers.end(), learns)) return;
    const auto of_table = [&](std::string_view name, std::string_view type, std::string_view help,
                              std::uint64_t LearnedReport::*number) {
        out.family(name, type, help);
        out.each_learned([&](const std::string& labels, const LearnedReport& report) {
            out.sample(labels, std::to_string(report.*number));
        });
    };
    of_table("lbsticky_table_sessions", "gauge", "Learned sessions that the table holds.", &LearnedReport::held);
    of_table("lbsticky_table_places", "gauge", "Learned sessions that the table has room for.", &LearnedReport::places);
    of_table("lbsticky_table_evicted_total", "counter", "Learned sessions that were alive and made room for others.",
             &LearnedReport::evicted);
    of_table("lbsticky_table_dropped_total", "counter", "Sessions that were not learned for want of room.",
             &LearnedReport::dropped);

    const auto has_store = [](const BalancerReport& balancer) { return balancer.learned && balancer.learned->store; };
    if (std::none_of(balancers.begin(), balancers.end(), has_store)) return;
    out.family("lbsticky_store_look_ups_total", "counter",
               "Session ids that the table did not know, by what the store said: hit, miss, unanswered; or why it was "
               "not asked: remembered (as a miss), capped, away.");
    out.each_store([&](const std::string& labels, const StoreReport& store) {
        for (std::size_t i = 0; i < look_up_words.size(); ++i)
            out.sample(labels + ",result=\"" + std::string(look_up_words[i]) + "\"", std::to_string(store.look_ups[i]));
    });
    out.family("lbsticky_store_writes_total", "counter",
               "Sessions for the store: stored, or dropped without asking it.");
    out.each_store([&](const std::string& labels, const StoreReport& store) {
        out.sample(labels + ",result=\"stored\"", std::to_string(store.stored));
        out.sample(labels + ",result=\"dropped\"", std::to_string(store.dropped));
    });
    out.family("lbsticky_store_failures_total", "counter", "Attempts to reach the store that failed.");
    out.each_store([&](const std::string& labels, const StoreReport& store) {
        out.sample(labels, std::to_string(store.failures));
    });
    out.family("lbsticky_store_away", "gauge", "Whether the store cannot be reached and is not asked.");
    out.each_store([&](const std::string& labels, const StoreReport& store) {
        out.sample(labels, store.state == "away" ? "1" : "0");
    });
}

std::string exposition(std::span<const BalancerReport> balancers, std::string_view version, bool open_metrics) {
    Exposition out(balancers, open_metrics);

    out.family("lbsticky_info", "info", "Version of mod_lbmethod_sticky.");
    out.sample("version=\"" + escape_label(version) + "\"", "1");

    out.family("lbsticky_requests_total", "counter",
               "Requests that a worker was chosen for, by affinity: why it was that worker.");
    out.each_counts([&](const std::string& labels, const Counts& counts) {
        for (std::size_t i = 0; i < served_affinities; ++i)
            out.sample(labels + ",affinity=\"" + word_of(i) + "\"", std::to_string(counts.requests[i]));
    });
    out.family("lbsticky_moved_away_total", "counter",
               "Requests whose session or cookie named a worker that could not serve them.");
    out.each_counts([&](const std::string& labels, const Counts& counts) {
        out.sample(labels, std::to_string(counts.moved_away));
    });
    for (const BalancerCount& count : balancer_counts) {
        out.family("lbsticky_" + std::string(count.name) + "_total", "counter", count.help);
        out.each_balancer([&](const BalancerReport& balancer) { return balancer.counts[count.which]; });
    }

    learned(out, balancers);

    out.family("lbsticky_weight_ratio", "gauge", "Share of the new sessions that a worker is to get, by load factor.");
    out.each_worker([&](const std::string& labels, const BalancerReport& balancer, const WorkerReport& worker) {
        out.sample(labels, ratio(worker.weight(), balancer.weights));
    });
    out.family("lbsticky_new_sessions_ratio", "gauge",
               "Share of the new sessions that a worker got since it is what it is (lbsticky_status_age_seconds).");
    out.each_worker([&](const std::string& labels, const BalancerReport&, const WorkerReport& worker) {
        out.sample(labels, ratio(worker.fresh, worker.all_fresh));
    });
    for (const WorkerFigure& figure : worker_figures) {
        out.family("lbsticky_" + std::string(figure.metric), "gauge", figure.help);
        out.each_worker([&](const std::string& labels, const BalancerReport&, const WorkerReport& worker) {
            out.sample(labels, number_or(figure.none, figure.number(worker)));
        });
    }
    out.family("lbsticky_worker_status", "gauge", "Whether a status flag of a worker is set.");
    out.each_worker([&](const std::string& labels, const BalancerReport&, const WorkerReport& worker) {
        for (const auto& [word, flag] : status_words)
            out.sample(labels + ",status=\"" + std::string(word) + "\"", worker.status.*flag ? "1" : "0");
    });
    out.family("lbsticky_worker_info", "info", "Route of a worker.");
    out.each_worker([&](const std::string& labels, const BalancerReport&, const WorkerReport& worker) {
        out.sample(labels + ",route=\"" + escape_label(worker.route) + "\"", "1");
    });
    return out.take();
}

std::string json_of(const Counts& counts) {
    std::string text = "\"requests\": {";
    for (std::size_t i = 0; i < served_affinities; ++i)
        text += (i ? ", " : "") + json_string(word_of(i)) + ": " + std::to_string(counts.requests[i]);
    return text + "}, \"moved_away\": " + std::to_string(counts.moved_away);
}

std::string json_of(const BalancerReport& balancer, const WorkerReport& worker) {
    std::string text =
        "{\"url\": " + json_string(worker.url) + ", \"route\": " + json_string(worker.route) + ", \"status\": [";
    bool first = true;
    for (const auto& [word, flag] : status_words) {
        if (!(worker.status.*flag)) continue;
        text += (first ? "" : ", ") + json_string(word);
        first = false;
    }
    text += "], \"weight_ratio\": " + ratio(worker.weight(), balancer.weights) +
            ", \"new_sessions_ratio\": " + ratio(worker.fresh, worker.all_fresh) + ", " + json_of(worker.counts);
    for (const WorkerFigure& figure : worker_figures)
        text += ", " + json_string(figure.name) + ": " + number_or("null", figure.number(worker));
    return text + "}";
}

std::string json_of(const StoreReport& store) {
    std::string text = "{\"address\": " + json_string(store.address) + ", \"state\": " + json_string(store.state) +
                       ", \"look_ups\": {";
    for (std::size_t i = 0; i < look_up_words.size(); ++i)
        text += (i ? ", " : "") + json_string(look_up_words[i]) + ": " + std::to_string(store.look_ups[i]);
    return text + "}, \"stored\": " + std::to_string(store.stored) + ", \"dropped\": " + std::to_string(store.dropped) +
           ", \"failures\": " + std::to_string(store.failures) + "}";
}

std::string json_of(const LearnedReport& learned) {
    return "{\"sessions\": " + std::to_string(learned.held) + ", \"places\": " + std::to_string(learned.places) +
           ", \"idle_seconds\": " + std::to_string(learned.idle) + ", \"evicted\": " + std::to_string(learned.evicted) +
           ", \"dropped\": " + std::to_string(learned.dropped) +
           ", \"store\": " + (learned.store ? json_of(*learned.store) : "null") + "}";
}

std::string json_of(const BalancerReport& balancer) {
    std::string text =
        "  {\n    \"name\": " + json_string(balancer.name) + ",\n    \"server\": " + json_string(balancer.server);
    text += ",\n    \"sessions\": [";
    for (std::size_t i = 0; i < balancer.sessions.size(); ++i)
        text += (i ? ", " : "") + json_string(balancer.sessions[i]);
    text += std::string("],\n    \"hash\": ") + (balancer.hash ? "true" : "false");
    text += ",\n    \"place\": " + json_string(word_for(balancer.placement));
    text += ",\n    \"limits\": {\"new\": " + std::to_string(balancer.limits.fresh) +
            ", \"all\": " + std::to_string(balancer.limits.all) + "}";
    text += ",\n    \"cookie\": ";
    if (balancer.cookie.empty())
        text += "null";
    else
        text += "{\"name\": " + json_string(balancer.cookie) +
                ", \"given\": " + (balancer.cookie_where_needed ? "\"auto\"" : "\"always\"") +
                ", \"attributes\": " + json_string(balancer.cookie_attributes) +
                ", \"secret\": " + (balancer.has_secret ? "true" : "false") + "}";
    for (const BalancerCount& count : balancer_counts)
        text += ",\n    " + json_string(count.name) + ": " + std::to_string(balancer.counts[count.which]);
    text += ",\n    \"learned\": " + (balancer.learned ? json_of(*balancer.learned) : "null");
    text += ",\n    \"gone\": {" + json_of(balancer.gone) + "}";
    text += ",\n    \"workers\": [";
    for (std::size_t i = 0; i < balancer.workers.size(); ++i)
        text += (i ? ",\n      " : "\n      ") + json_of(balancer, balancer.workers[i]);
    return text + (balancer.workers.empty() ? "]" : "\n    ]") + "\n  }";
}

std::string json(std::span<const BalancerReport> balancers, std::string_view version) {
    std::string text = "{\"version\": " + json_string(version) + ", \"balancers\": [";
    for (std::size_t i = 0; i < balancers.size(); ++i) text += (i ? ",\n" : "\n") + json_of(balancers[i]);
    return text + (balancers.empty() ? "]}\n" : "\n]}\n");
}

}  // namespace

std::string metrics(std::span<const BalancerReport> balancers, std::string_view version, MetricsFormat format) {
    if (format == MetricsFormat::json) return json(balancers, version);
    return exposition(balancers, version, format == MetricsFormat::open_metrics);
}

const char* content_type(MetricsFormat format) noexcept {
    switch (format) {
        case MetricsFormat::json: return "application/json";
        case MetricsFormat::open_metrics: return "application/openmetrics-text; version=1.0.0; charset=utf-8";
        case MetricsFormat::prometheus: break;
    }
    return "text/plain; version=0.0.4; charset=utf-8";
}

}  // namespace lbsticky
