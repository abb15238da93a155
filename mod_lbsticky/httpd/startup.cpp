#include "httpd/startup.hpp"

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/inheritance.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/pool.hpp"
#include "httpd/provider.hpp"
#include "httpd/request.hpp"
#include "httpd/shared_memory.hpp"
#include "httpd/warnings.hpp"

extern "C" {
#include "ap_release.h"
#include "apr_strings.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// httpd reads its configuration twice when it starts; the first time only to check it.
bool is_first_reading() noexcept {
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
}

bool is_configuration_test() noexcept {
    return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
}

const Balancer& prepare(proxy_balancer& balancer, const SharedMemory& memory, Settings settings,
                        LearnedSessions* learned, apr_pool_t* config) {
    auto* own = make_in<Balancer>(config, balancer, memory, std::move(settings), learned);
    balancer.context = own;
    // The members may have changed since children of the last generation read them.
    own->shared.generation.fetch_add(1, std::memory_order_release);
    own->shared.notices.reset();
    own->roster.begin();
    return *own;
}

void log_counts(const Balancer& own, server_rec* server) {
    const auto totals = own.shared.totals(own.tallies);
    std::string counts;
    for (std::size_t i = 0; i < affinities; ++i)
        counts += std::string(i ? ", " : "") + word_for(static_cast<Affinity>(i)) + " " + std::to_string(totals[i]);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server, "%s: sticky; requests so far by affinity: %s", own.httpds.s->name,
                 counts.c_str());
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server,
                 "%s: own cookies so far: %" APR_UINT64_T_FMT " given, %" APR_UINT64_T_FMT " not understood",
                 own.httpds.s->name, own.shared.counts[Count::cookies_issued].load(),
                 own.shared.counts[Count::cookies_unknown].load());
}

int fail(server_rec* server, const char* why) noexcept {
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, server, "lbmethod sticky cannot start: %s", why);
    return HTTP_INTERNAL_SERVER_ERROR;
}

// Throws std::runtime_error if what a balancer is to do cannot be done.
void refuse_contradictions(server_rec* main_server) {
    for_each_proxy(main_server, [&](server_rec* server) {
        for_each_balancer(server, [&](const proxy_balancer& balancer) {
            if (!is_ours(balancer) || balancer.s->sticky_separator != '\0') return;
            if (settings_for(balancer, *proxy_configuration(server)).has_line(Keeping::append))
                throw std::runtime_error(std::string(balancer.s->name) +
                                         ": LBStickySession with route=append needs a character between id and route, "
                                         "and stickysessionsep=Off is none");
        });
    });
}

// Why the module cannot run in this httpd; null if it can. Structures of mod_proxy grow at their ends with the minor
// number of the interface, but httpd itself compares only the major number.
const char* refuse_older_httpd(apr_pool_t* pool) noexcept {
    if (mod_proxy.record->minor_version >= MODULE_MAGIC_NUMBER_MINOR) return nullptr;
    ap_version_t running;
    ap_get_server_revision(&running);
    return apr_psprintf(pool,
                        "it was built for httpd %s (interface %d.%d), and this one, %d.%d.%d, is older (interface "
                        "%d.%d): build it with the headers of this one, or install that one",
                        AP_SERVER_BASEREVISION, MODULE_MAGIC_NUMBER_MAJOR, MODULE_MAGIC_NUMBER_MINOR, running.major,
                        running.minor, running.patch, mod_proxy.record->version, mod_proxy.record->minor_version);
}

}  // namespace

int find_mod_proxy(apr_pool_t*, apr_pool_t*, apr_pool_t* temporary) noexcept {
    if (!look_up_mod_proxy())
        return fail(nullptr, "load mod_proxy and mod_proxy_balancer too (LoadModule, or a2enmod proxy_balancer)");
    if (const char* why = refuse_older_httpd(temporary)) return fail(nullptr, why);
    mod_proxy.hook_pre_request(Request::pre_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
    return OK;
}

int check_configuration(apr_pool_t*, apr_pool_t*, apr_pool_t* temporary, server_rec* main_server) noexcept {
    inherit_methods(main_server, temporary);
    return guarded(
        [&] {
            refuse_contradictions(main_server);
            if (is_configuration_test()) warn_of_configuration(main_server);
            return OK;
        },
        [&](const char* why) { return fail(main_server, why); });
}

int prepare_balancers(apr_pool_t* config, apr_pool_t*, apr_pool_t*, server_rec* main_server) noexcept {
    if (is_first_reading()) return OK;
    return guarded(
        [&] {
            warn_of_configuration(main_server);
            std::vector<NewBalancer> balancers;
            std::vector<server_rec*> servers;  // of each balancer
            std::vector<Settings> settings;    // likewise
            for_each_proxy(main_server, [&](server_rec* server) {
                for_each_balancer(server, [&](proxy_balancer& balancer) {
                    settings.push_back(settings_for(balancer, *proxy_configuration(server)));
                    balancers.push_back({&balancer, settings.back().table_if_needed()});
                    servers.push_back(server);
                });
            });
            const auto memory = shared_memory_for(balancers, main_server);
            std::map<const SessionTable*, LearnedSessions*> learned;  // copies of a balancer have one
            for (std::size_t i = 0; i < balancers.size(); ++i) {
                proxy_balancer& balancer = *balancers[i].httpds;
                LearnedSessions* its_learned = nullptr;
                if (memory[i].learned.table && balancers[i].table) {
                    LearnedSessions*& known = learned[memory[i].learned.table];
                    if (!known)
                        known = make_in<LearnedSessions>(config, memory[i].learned, *balancers[i].table,
                                                         settings[i].store, memory[i].keys->learned,
                                                         balancer.s->name + sizeof(BALANCER_PREFIX) - 1);
                    its_learned = known;
                }
                const Balancer& own = prepare(balancer, memory[i], std::move(settings[i]), its_learned, config);
                if (is_ours(balancer)) log_counts(own, servers[i]);
            }
            return OK;
        },
        [&](const char* why) { return fail(main_server, why); });
}

void open_stores(apr_pool_t* process, server_rec* main_server) noexcept {
    std::set<const LearnedSessions*> open;
    for_each_proxy(main_server, [&](server_rec* server) {
        for_each_balancer(server, [&](const proxy_balancer& balancer) {
            const Balancer* own = Balancer::of(balancer);
            if (!own || !own->learned) return;
            guarded(
                [&] {
                    if (open.insert(own->learned).second) own->learned->start(process, server);
                },
                [&](const char* why) {
                    ap_log_error(APLOG_MARK, APLOG_ERR, 0, server, "%s: its store cannot be opened: %s",
                                 balancer.s->name, why);
                });
        });
    });
}

}  // namespace lbsticky
