#include "httpd/manager.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/panel.hpp"
#include "core/splice.hpp"
#include "httpd/balancer.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/pool.hpp"
#include "httpd/provider.hpp"
#include "httpd/reports.hpp"

extern "C" {
#include "util_filter.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

constexpr const char* change_filter = "LBSTICKY_CHANGED";
constexpr const char* panel_filter = "LBSTICKY_PANEL";

bool is_handled_by(const request_rec* r, const char* handler) noexcept {
    return r->handler && std::strcmp(r->handler, handler) == 0;
}

apr_status_t announce_changes(ap_filter_t* filter, apr_bucket_brigade* answer) noexcept {
    // For all servers, since virtual hosts share the workers of balancers that they inherit.
    for_each_proxy(ap_server_conf, [](const server_rec* server) {
        for_each_balancer(server, [](const proxy_balancer& balancer) {
            if (Balancer* own = Balancer::of(balancer)) own->shared.generation.fetch_add(1, std::memory_order_release);
        });
    });
    ap_filter_t* next = filter->next;
    ap_remove_output_filter(filter);
    return ap_pass_brigade(next, answer);
}

// The panels that are put into balancer-manager's page, one a balancer, in the page's order, each before a marker.
struct Panels {
    Splice splice;
    int to_skip;                       // markers before that of the first panel
    std::vector<std::string> texts{};  // an empty one inserts nothing
    std::size_t next = 0;              // index into texts
};

std::vector<std::string> panel_texts(request_rec* r, bool xml) {
    std::vector<std::string> texts;
    bool with_style = true;
    for_each_balancer(r->server, [&](proxy_balancer& balancer) {
        std::string& text = texts.emplace_back();
        const auto report = report_of(balancer, r->server, r);
        if (!report) return;
        // In the XML the marker stands behind the indentation of its line.
        text = xml ? "  " + panel_xml(*report) + "\n    " : panel_html(*report, std::exchange(with_style, false));
    });
    return texts;
}

// The panels for an answer, by its type: for the HTML page or for the XML. Null for any other answer.
Panels* panels_for(request_rec* r) {
    const std::string_view type = r->content_type ? r->content_type : "";
    const bool xml = type.starts_with("text/xml");
    if (r->status != HTTP_OK || (!xml && !type.starts_with("text/html"))) return nullptr;
    // The page has a rule before each balancer and one behind the last: a panel comes before the rule that follows its
    // balancer.
    return make_in<Panels>(r->pool, Splice(xml ? "</httpd:balancer>" : "<hr />\n"), xml ? 0 : 1, panel_texts(r, xml));
}

// Passes the page on, with the panels in it.
apr_status_t insert_panels(Panels& panels, ap_filter_t* next, apr_bucket_brigade* page) {
    apr_bucket_brigade* out = apr_brigade_create(page->p, page->bucket_alloc);
    const auto write = [&](std::string_view text) {
        apr_brigade_write(out, ap_filter_flush, next, text.data(), text.size());
    };
    while (!APR_BRIGADE_EMPTY(page)) {
        apr_bucket* bucket = APR_BRIGADE_FIRST(page);
        if (APR_BUCKET_IS_METADATA(bucket)) {
            panels.splice.flush(write);
            APR_BUCKET_REMOVE(bucket);
            APR_BRIGADE_INSERT_TAIL(out, bucket);
            continue;
        }
        const char* data = nullptr;
        apr_size_t size = 0;
        const apr_status_t status = apr_bucket_read(bucket, &data, &size, APR_BLOCK_READ);
        if (status != APR_SUCCESS) return status;
        panels.splice.take({data, size}, write, [&] {
            if (panels.to_skip-- > 0) return;
            if (panels.next < panels.texts.size()) write(panels.texts[panels.next++]);
        });
        apr_bucket_delete(bucket);
    }
    return ap_pass_brigade(next, out);
}

apr_status_t add_panels(ap_filter_t* filter, apr_bucket_brigade* page) noexcept {
    request_rec* r = filter->r;
    ap_filter_t* next = filter->next;
    return guarded(
        [&] {
            if (!filter->ctx) filter->ctx = panels_for(r);
            if (filter->ctx) return insert_panels(*static_cast<Panels*>(filter->ctx), next, page);
            ap_remove_output_filter(filter);
            return ap_pass_brigade(next, page);
        },
        [&](const char* why) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "balancer-manager is shown without panels: %s", why);
            ap_remove_output_filter(filter);
            return ap_pass_brigade(next, page);
        });
}

// Needs the balancer's thread mutex.
void update_load(proxy_balancer& balancer) {
    Balancer* own = Balancer::of(balancer);
    if (!own || !own->is_intact()) return;
    Roster& roster = own->roster.current(apr_time_now(), nullptr);
    const auto owed = roster.owed(own->shared.tickets.load(std::memory_order_relaxed));
    for (std::size_t i = 0; i < owed.size(); ++i) own->roster.worker(i)->s->lbstatus = owed[i];
}

}  // namespace

void register_manager_filters() noexcept {
    // A protocol filter, so that error pages pass it too: the manager may answer with one after it has changed
    // something.
    ap_register_output_filter(change_filter, announce_changes, nullptr, AP_FTYPE_PROTOCOL);
    ap_register_output_filter(panel_filter, add_panels, nullptr, AP_FTYPE_RESOURCE);
}

void insert_manager_filters(request_rec* r) noexcept {
    if (!is_handled_by(r, "balancer-manager")) return;
    ap_add_output_filter(change_filter, nullptr, r, r->connection);
    ap_add_output_filter(panel_filter, nullptr, r, r->connection);
}

int refresh_load(request_rec* r) noexcept {
    if (!is_handled_by(r, "balancer-manager")) return DECLINED;
    const auto refresh = [r](proxy_balancer& balancer) {
        if (!is_ours(balancer)) return;
        guarded(
            [&] {
                const ThreadLock lock(balancer);
                mod_proxy.sync_balancer(&balancer, r->server, balancer.sconf);
                update_load(balancer);
            },
            [&](const char* why) {
                ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: Load is not up to date: %s", balancer.s->name, why);
            });
    };
    for_each_proxy(ap_server_conf, [&](const server_rec* server) { for_each_balancer(server, refresh); });
    // Virtual hosts share the workers of balancers that they inherit: the one whose page is shown comes last.
    for_each_balancer(r->server, refresh);
    return DECLINED;
}

}  // namespace lbsticky
