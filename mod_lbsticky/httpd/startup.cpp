#include "httpd/startup.hpp"

#include <cstring>
#include <set>
#include <string>
#include <unordered_map>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/pool.hpp"
#include "httpd/provider.hpp"
#include "httpd/request.hpp"
#include "httpd/shared_memory.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// httpd reads its configuration twice when it starts; the first time is only a rehearsal, unless it is all there is.
bool is_rehearsal() noexcept {
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG &&
           ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST;
}

void warn_of_routes(const proxy_balancer& balancer, const Settings& settings, server_rec* server) {
    const char* name = balancer.s->name;
    // A member without a route has an id in the balancer's own cookie.
    const bool cookie_off = settings.cookie && settings.cookie->given == CookieSettings::Given::never;
    const bool only_session_ids = cookie_off && (settings.session_names || *balancer.s->sticky);
    std::unordered_map<std::string_view, const char*> by_route;
    int without_route = 0;
    const char* first_without_route = nullptr;

    for (int i = 0; i < balancer.workers->nelts; ++i) {
        const proxy_worker_shared& worker = *APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s;
        const std::string_view route = worker.route;
        if (route.empty()) {
            if (without_route++ == 0) first_without_route = worker.name_ex;
            continue;
        }
        const auto [other, is_new] = by_route.try_emplace(route, worker.name_ex);
        if (!is_new)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                         "%s: members %s and %s have the same route=%s: sessions of the one go to the other", name,
                         other->second, worker.name_ex, worker.route);

        const char separator[] = {balancer.s->sticky_separator, '\0'};
        const char unusable[] = {' ', ';', ',', separator[0], '\0'};
        if (const char* found = std::strpbrk(worker.route, unusable))
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                         "%s: route=%s of member %s holds '%c', %s: its sessions may not be found", name, worker.route,
                         worker.name_ex, *found,
                         *found == separator[0] ? "the separator between session id and route"
                                                : "which cannot stand in a cookie");
    }
    if (only_session_ids && without_route > 0)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "%s: %d of %d members have no route=, %s the first: a session id cannot name them", name,
                     without_route, balancer.workers->nelts, first_without_route);
}

void warn_of_cookie(const proxy_balancer& balancer, const Settings& settings, server_rec* server) {
    const CookieSettings cookie = settings.cookie.value_or(CookieSettings{});
    if (settings.secrets && cookie.given == CookieSettings::Given::never)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "%s: LBStickySecretFile has no effect as long as LBStickyCookie is off", balancer.s->name);
    if (!settings.session_names) return;
    for (const SessionName& name : *settings.session_names)
        if (name.cookie == cookie.name)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                         "%s: LBStickyCookie %s has the name of the application's session, which members will not see",
                         balancer.s->name, cookie.name.c_str());
}

void warn_of_balancer(const proxy_balancer& balancer, const proxy_server_conf& configuration, server_rec* server) {
    const Settings settings = settings_for(balancer, configuration);
    if (is_ours(balancer)) {
        warn_of_routes(balancer, settings, server);
        warn_of_cookie(balancer, settings, server);
    } else if (settings.any())
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "%s: its LBSticky directives have no effect as long as its lbmethod is %s, not sticky",
                     balancer.s->name, balancer.s->lbpname);
}

// Directives in a <Proxy "balancer://…"> that no balancer has the name of.
void warn_of_unused_sections(const proxy_server_conf& configuration, server_rec* server,
                             std::set<const void*>& warned_of) {
    for (int i = 0; i < configuration.sec_proxy->nelts; ++i) {
        auto* section = APR_ARRAY_IDX(configuration.sec_proxy, i, ap_conf_vector_t*);
        if (!settings_in(section).any()) continue;
        bool used = false;
        for_each_balancer(server,
                          [&](const proxy_balancer& balancer) { used = used || section_names(section, balancer); });
        if (used || !warned_of.insert(section).second) continue;
        const auto* proxy = static_cast<const proxy_dir_conf*>(ap_get_module_config(section, mod_proxy.record));
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                     "<Proxy \"%s\">: its LBSticky directives have no effect: there is no such balancer", proxy->p);
    }
}

const Balancer& prepare(proxy_balancer& balancer, server_rec* server, apr_pool_t* config) {
    SharedState& shared = shared_state_for(balancer, server);
    auto* own = make_in<Balancer>(config, balancer, shared, settings_for(balancer, *proxy_configuration(server)));
    balancer.context = own;
    // The members may not be what children of the last generation saw.
    shared.generation().fetch_add(1, std::memory_order_release);

    return *own;
}

void tell_counts(const Balancer& own, server_rec* server) {
    const auto totals = own.shared.totals();
    std::string counts;
    for (std::size_t i = 0; i < affinities; ++i)
        counts += std::string(i ? ", " : "") + word_for(static_cast<Affinity>(i)) + " " + std::to_string(totals[i]);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server, "%s: sticky; requests so far by affinity: %s", own.httpds.s->name,
                 counts.c_str());
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server,
                 "%s: own cookies so far: %" APR_UINT64_T_FMT " given, %" APR_UINT64_T_FMT " not understood",
                 own.httpds.s->name, own.shared.cookies_issued().load(), own.shared.cookies_unknown().load());
}

int failed(server_rec* server, const char* why) noexcept {
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, server, "lbmethod sticky cannot start: %s", why);
    return HTTP_INTERNAL_SERVER_ERROR;
}

}  // namespace

int find_mod_proxy(apr_pool_t*, apr_pool_t*, apr_pool_t*) noexcept {
    if (!look_up_mod_proxy())
        return failed(nullptr, "load mod_proxy and mod_proxy_balancer too (LoadModule, or a2enmod proxy_balancer)");
    mod_proxy.hook_pre_request(Request::pre_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
    return OK;
}

int warn(apr_pool_t*, apr_pool_t*, apr_pool_t*, server_rec* main_server) noexcept {
    if (is_rehearsal()) return OK;
    return guarded(
        [&] {
            // Virtual hosts inherit balancers and sections of the main server: one warning is enough.
            std::set<const void*> warned_of;
            for (server_rec* server = main_server; server; server = server->next) {
                const proxy_server_conf& configuration = *proxy_configuration(server);
                for_each_balancer(server, [&](const proxy_balancer& balancer) {
                    if (warned_of.insert(balancer.s).second) warn_of_balancer(balancer, configuration, server);
                });
                warn_of_unused_sections(configuration, server, warned_of);
            }
            return OK;
        },
        [&](const char* why) { return failed(main_server, why); });
}

int prepare_balancers(apr_pool_t* config, apr_pool_t*, apr_pool_t*, server_rec* main_server) noexcept {
    if (is_rehearsal()) return OK;
    return guarded(
        [&] {
            std::set<const SharedState*> told;  // virtual hosts inherit balancers of the main server
            for (server_rec* server = main_server; server; server = server->next)
                for_each_balancer(server, [&](proxy_balancer& balancer) {
                    const Balancer& own = prepare(balancer, server, config);
                    if (is_ours(balancer) && told.insert(&own.shared).second) tell_counts(own, server);
                });
            return OK;
        },
        [&](const char* why) { return failed(main_server, why); });
}

}  // namespace lbsticky
