#include "httpd/manager.hpp"

#include <cstring>

#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

extern "C" {
#include "util_filter.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

constexpr const char* change_filter = "LBSTICKY_CHANGED";

bool is_handled_by(const request_rec* r, const char* handler) noexcept {
    return r->handler && std::strcmp(r->handler, handler) == 0;
}

apr_status_t announce_changes(ap_filter_t* filter, apr_bucket_brigade* answer) noexcept {
    // Of all servers: virtual hosts share the workers of balancers that they inherit.
    for (const server_rec* server = ap_server_conf; server; server = server->next)
        for_each_balancer(server, [](const proxy_balancer& balancer) {
            if (Balancer* own = Balancer::of(balancer))
                own->shared.generation().fetch_add(1, std::memory_order_release);
        });
    ap_filter_t* next = filter->next;
    ap_remove_output_filter(filter);
    return ap_pass_brigade(next, answer);
}

void write_load(proxy_balancer& balancer, server_rec* server) {
    Balancer* own = Balancer::of(balancer);
    if (!own || !own->is_intact()) return;
    const Roster& roster = own->roster.current(apr_time_now(), server);
    const auto owed = roster.owed(own->shared.tickets().load(std::memory_order_relaxed));
    for (std::size_t i = 0; i < owed.size(); ++i) own->roster.worker(i)->s->lbstatus = owed[i];
}

}  // namespace

void register_change_filter() noexcept {
    // A protocol filter: error pages, which httpd's manager may answer with after it has changed something, pass it
    // too.
    ap_register_output_filter(change_filter, announce_changes, nullptr, AP_FTYPE_PROTOCOL);
}

void insert_change_filter(request_rec* r) noexcept {
    if (is_handled_by(r, "balancer-manager")) ap_add_output_filter(change_filter, nullptr, r, r->connection);
}

int refresh_load(request_rec* r) noexcept {
    if (!is_handled_by(r, "balancer-manager") && !is_handled_by(r, "server-status")) return DECLINED;
    const auto refresh = [r](proxy_balancer& balancer) {
        if (!is_ours(balancer) || PROXY_THREAD_LOCK(&balancer) != APR_SUCCESS) return;
        mod_proxy.sync_balancer(&balancer, r->server, balancer.sconf);
        guarded(
            [&] {
                write_load(balancer, r->server);
                return 0;
            },
            [&](const char* why) {
                ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: Load is not up to date: %s", balancer.s->name, why);
                return 0;
            });
        PROXY_THREAD_UNLOCK(&balancer);
    };
    for (const server_rec* server = ap_server_conf; server; server = server->next) for_each_balancer(server, refresh);
    // Virtual hosts share the workers of balancers that they inherit: the one that shows the page comes last.
    for_each_balancer(r->server, refresh);
    return DECLINED;
}

}  // namespace lbsticky
