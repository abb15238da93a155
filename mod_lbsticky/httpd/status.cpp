#include "httpd/status.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "core/masked_url.hpp"
#include "core/metrics.hpp"
#include "core/status_page.hpp"
#include "httpd/balancer.hpp"
#include "httpd/explain.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"
#include "httpd/reports.hpp"

extern "C" {
#include "apr_strings.h"
#include "apr_uri.h"
#include "mod_status.h"
#include "util_script.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

constexpr const char* handler = "lbsticky-status";
constexpr const char* plain_text = "text/plain; charset=utf-8";

int answer(request_rec* r, const char* type, std::string_view text) noexcept {
    ap_set_content_type(r, type);
    ap_set_content_length(r, static_cast<apr_off_t>(text.size()));
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_rwrite(text.data(), static_cast<int>(text.size()), r);
    return OK;
}

// How much a client prefers a media type, by its Accept header (RFC 9110, section 12.5.1): 0 to 1, 0 if the header does
// not name it.
double quality(apr_pool_t* pool, const char* accept, const char* type) noexcept {
    double best = 0;
    while (accept && *accept) {
        const char* range = ap_getword(pool, &accept, ',');
        char* media_type = ap_getword(pool, &range, ';');
        apr_collapse_spaces(media_type, media_type);
        if (ap_cstr_casecmp(media_type, type) != 0) continue;
        double weight = 1;
        while (*range) {
            char* parameter = ap_getword(pool, &range, ';');
            apr_collapse_spaces(parameter, parameter);
            if (ap_cstr_casecmpn(parameter, "q=", 2) == 0) weight = std::strtod(parameter + 2, nullptr);
        }
        best = std::max(best, weight);
    }
    return best;
}

// A balancer's name as httpd has it, without its scheme: who asks may write it as it stands in the configuration.
std::string name_of(std::string_view balancer) {
    constexpr std::string_view scheme = BALANCER_PREFIX;
    std::string name(balancer);
    ap_str_tolower(name.data());
    if (name.starts_with(scheme)) name.erase(0, scheme.size());
    if (name.ends_with('/')) name.pop_back();
    return name;
}

// A member's URL as it is shown, of one that may be written as it stands in the configuration: httpd has scheme and
// host in lower case, no port where it goes without saying, and no socket.
std::string shown_url(const char* url, apr_pool_t* pool) {
    constexpr std::string_view socket = "unix:";
    if (ap_cstr_casecmpn(url, socket.data(), socket.size()) == 0)
        if (const char* bar = std::strchr(url, '|')) url = bar + 1;
    apr_uri_t uri;
    if (apr_uri_parse(pool, url, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname) return masked_url(url);
    ap_str_tolower(uri.scheme);
    ap_str_tolower(uri.hostname);
    if (uri.port_str && uri.port == mod_proxy.port_of_scheme(uri.scheme)) uri.port_str = nullptr;
    return masked_url(apr_uri_unparse(pool, &uri, APR_URI_UNP_REVEALPASSWORD));
}

// A member, by its URL and the name of its balancer, as both are shown; nothing: there is none. The balancer of the
// server that is asked comes first. Others may share a name, each in a virtual host of its own: of these one whose
// member is not drained, since it can be stopped only when it is in all of them.
std::optional<WorkerReport> find_member(const request_rec* r, std::string_view name, std::string_view url) {
    std::optional<WorkerReport> found;
    bool is_own = false;
    for_each_balancer_known_to(r->server, [&](proxy_balancer& balancer, server_rec* server) {
        if (is_own || name_of(balancer.s->name) != name) return;
        const auto report = report_without_learned_of(balancer, server, r);
        if (!report) return;
        for (const WorkerReport& worker : report->workers) {
            if (worker.url != url) continue;
            is_own = report->server.empty() == !r->server->is_virtual;
            if (is_own || !found || found->status.drained) found = worker;
        }
    });
    return found;
}

// Answers whether a member is drained, by the status and one line.
int answer_whether_drained(request_rec* r, const char* balancer, const char* member) {
    const auto worker = member ? find_member(r, name_of(balancer), shown_url(member, r->pool)) : std::nullopt;
    std::string line = "drained";
    if (!worker) {
        r->status = HTTP_NOT_FOUND;
        line = member ? "there is no such balancer with this method, or no such member of it"
                      : "it takes a member, too: member=URL";
    } else if (!worker->status.drained) {
        r->status = HTTP_CONFLICT;
        line = worker->drain_lacks;
    }
    return answer(r, plain_text, line + "\n");
}

// The balancer of that name that the server asked has, else one that it knows of; null: there is none with this method.
Balancer* find_balancer(server_rec* asked, std::string_view asked_for) {
    const std::string name = name_of(asked_for);
    Balancer* found = nullptr;
    const auto look_at = [&](proxy_balancer& balancer, const server_rec*) {
        const bool is_it = is_ours(balancer) && name_of(balancer.s->name) == name;
        if (is_it && !found) found = Balancer::of(balancer);
    };
    for_each_balancer(asked, [&](proxy_balancer& balancer) { look_at(balancer, asked); });
    for_each_balancer_known_to(asked, look_at);
    return found;
}

// Answers where a request would go, and why.
int answer_with_explanation(request_rec* r, const char* name, const apr_table_t* arguments) {
    const char* url = apr_table_get(arguments, "url");
    const char* format = apr_table_get(arguments, "format");
    const bool json = format && std::strcmp(format, "json") == 0;
    const auto refuse = [r](int status, std::string_view why) {
        r->status = status;
        return answer(r, plain_text, why);
    };
    if (format && !json) return refuse(HTTP_BAD_REQUEST, "format= can be json; without it the answer is text\n");
    if (url && *url != '/') return refuse(HTTP_BAD_REQUEST, "url= is a path and perhaps a query: it begins with /\n");
    Balancer* own = find_balancer(r->server, name);
    if (!own) return refuse(HTTP_NOT_FOUND, "there is no such balancer with this method\n");
    const Explanation explanation = explain(*own, *r, url ? url : "/");
    return json ? answer(r, "application/json", explanation_json(explanation))
                : answer(r, plain_text, explanation_text(explanation));
}

// The format that the client asks for; nothing if there is no such format.
std::optional<MetricsFormat> wanted_format(request_rec* r, const apr_table_t* arguments) {
    if (const char* format = apr_table_get(arguments, "format")) {
        if (std::strcmp(format, "json") == 0) return MetricsFormat::json;
        if (std::strcmp(format, "prometheus") == 0) return MetricsFormat::prometheus;
        if (std::strcmp(format, "openmetrics") == 0) return MetricsFormat::open_metrics;
        return std::nullopt;
    }
    const char* accept = apr_table_get(r->headers_in, "Accept");
    const double open_metrics = quality(r->pool, accept, "application/openmetrics-text");
    const bool prefers_open_metrics = open_metrics > 0 && open_metrics >= quality(r->pool, accept, "text/plain");
    return prefers_open_metrics ? MetricsFormat::open_metrics : MetricsFormat::prometheus;
}

}  // namespace

int answer_with_status(request_rec* r) noexcept {
    if (!r->handler || std::strcmp(r->handler, handler) != 0) return DECLINED;
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1);
    if (r->method_number == M_OPTIONS) return DECLINED;  // httpd answers that
    if (r->method_number != M_GET) return HTTP_METHOD_NOT_ALLOWED;
    return guarded(
        [&] {
            apr_table_t* arguments = nullptr;
            ap_args_to_table(r, &arguments);
            if (const char* balancer = apr_table_get(arguments, "drained"))
                return answer_whether_drained(r, balancer, apr_table_get(arguments, "member"));
            if (const char* balancer = apr_table_get(arguments, "explain"))
                return answer_with_explanation(r, balancer, arguments);
            const auto format = wanted_format(r, arguments);
            if (!format) return HTTP_BAD_REQUEST;
            const std::string text = metrics(reports_known_to(r->server, r), LBSTICKY_VERSION, *format);
            apr_table_setn(r->headers_out, "Vary", "Accept");
            return answer(r, content_type(*format), text);
        },
        [&](const char* why) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "the state of balancers cannot be shown: %s", why);
            return HTTP_INTERNAL_SERVER_ERROR;
        });
}

int add_to_server_status(request_rec* r, int flags) noexcept {
    return guarded(
        [&] {
            const auto reports = reports_known_to(ap_server_conf, r);
            if (reports.empty()) return OK;
            const std::string text = flags & AP_STATUS_SHORT ? status_lines(reports) : status_html(reports);
            ap_rwrite(text.data(), static_cast<int>(text.size()), r);
            return OK;
        },
        [&](const char* why) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "the state of balancers cannot be shown: %s", why);
            return OK;
        });
}

}  // namespace lbsticky
