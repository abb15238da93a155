#include "httpd/warnings.hpp"

#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "httpd/directives.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Logs each sentence once.
class Log {
public:
    void warn(server_rec* server, const std::string& sentence) {
        if (said_.insert(sentence).second) ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server, "%s", sentence.c_str());
    }

private:
    std::set<std::string> said_;
};

// One balancer, and where to complain about it.
struct Subject {
    const proxy_balancer& balancer;
    const Settings& settings;
    server_rec* server;
    Log& log;

    // A sentence about the balancer.
    void warn(const std::string& sentence) const { log.warn(server, std::string(balancer.s->name) + ": " + sentence); }
};

void warn_of_routes(const Subject& subject) {
    const proxy_balancer& balancer = subject.balancer;
    const Settings& settings = subject.settings;
    // A member without a route has an id in the balancer's own cookie.
    const bool cookie_off = settings.cookie && settings.cookie->given == CookieSettings::Given::never;
    const bool only_session_ids = cookie_off && (settings.session_names || *balancer.s->sticky);
    std::unordered_map<std::string_view, std::string> by_route;
    int without_route = 0;
    std::string first_without_route;

    for (int i = 0; i < balancer.workers->nelts; ++i) {
        const proxy_worker_shared& worker = *APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s;
        const std::string name = worker.name_ex;
        const std::string route = worker.route;
        if (route.empty()) {
            if (without_route++ == 0) first_without_route = name;
            continue;
        }
        const auto [other, is_new] = by_route.try_emplace(worker.route, name);
        if (!is_new)
            subject.warn("members " + other->second + " and " + name + " have the same route=" + route +
                         ": sessions of the one go to the other");

        if (const char* found = std::strpbrk(worker.route, " ;,"))
            subject.warn("route=" + route + " of member " + name + " holds '" + *found +
                         "', which cannot stand in a cookie: its sessions may not be found");
    }
    if (only_session_ids && without_route > 0)
        subject.warn(std::to_string(without_route) + " of " + std::to_string(balancer.workers->nelts) +
                     " members have no route=, " + first_without_route + " the first: a session id cannot name them");
}

void warn_of_cookie(const Subject& subject) {
    const CookieSettings cookie = subject.settings.cookie.value_or(CookieSettings{});
    if (subject.settings.secrets && cookie.given == CookieSettings::Given::never)
        subject.warn("LBStickySecretFile has no effect as long as LBStickyCookie is off");
    if (!subject.settings.session_names) return;
    for (const SessionName& name : *subject.settings.session_names)
        if (name.cookie == cookie.name)
            subject.warn("LBStickyCookie " + cookie.name +
                         " has the name of the application's session, which members will not see");
}

void warn_of_balancer(const Subject& subject) {
    if (is_ours(subject.balancer)) {
        warn_of_routes(subject);
        warn_of_cookie(subject);
    } else if (subject.settings.any()) {
        subject.warn(std::string("its LBSticky directives have no effect as long as its lbmethod is ") +
                     subject.balancer.s->lbpname + ", not sticky");
    }
}

// Directives in a <Proxy "balancer://…"> that no balancer has the name of.
void warn_of_unused_sections(const proxy_server_conf& configuration, server_rec* server, Log& log) {
    for (int i = 0; i < configuration.sec_proxy->nelts; ++i) {
        auto* section = APR_ARRAY_IDX(configuration.sec_proxy, i, ap_conf_vector_t*);
        if (!settings_in(section).any()) continue;
        bool used = false;
        for_each_balancer(server,
                          [&](const proxy_balancer& balancer) { used = used || section_names(section, balancer); });
        if (used) continue;
        const auto* proxy = static_cast<const proxy_dir_conf*>(ap_get_module_config(section, mod_proxy.record));
        log.warn(server, std::string("<Proxy \"") + proxy->p +
                             "\">: its LBSticky directives have no effect: there is no such balancer");
    }
}

}  // namespace

void warn_of_configuration(server_rec* main_server) {
    Log log;
    for (server_rec* server = main_server; server; server = server->next) {
        const proxy_server_conf& configuration = *proxy_configuration(server);
        for_each_balancer(server, [&](const proxy_balancer& balancer) {
            warn_of_balancer({balancer, settings_for(balancer, configuration), server, log});
        });
        warn_of_unused_sections(configuration, server, log);
    }
}

}  // namespace lbsticky
