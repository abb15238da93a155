#include "httpd/activation.hpp"

#include <string>
#include <utility>

#include "httpd/balancer.hpp"

namespace lbsticky {
namespace {

constexpr char disabled[] = "DIS";  // mod_jk's word for a worker that gets no new sessions

// mod_proxy_ajp sends variables with this prefix as attributes, without it.
constexpr char attribute[] = "AJP_JK_LB_ACTIVATION";

}  // namespace

void Activation::tell(const Decision& decision, request_rec* r) noexcept {
    restore(r);
    if (!decision.balancer || !decision.worker) return;
    const proxy_worker_shared& worker = *decision.worker->s;
    const bool is_draining = (worker.status & PROXY_WORKER_DRAIN) != 0;
    if (std::string_view(worker.scheme) == "ajp") {
        // One that another worker was told, or a subrequest has from its request.
        if (is_draining)
            apr_table_setn(r->subprocess_env, attribute, disabled);
        else
            apr_table_unset(r->subprocess_env, attribute);
    }
    const std::string& header = decision.balancer->drain.header;
    if (header.empty()) return;
    const char* sent = apr_table_get(r->headers_in, header.c_str());
    if (!sent && !is_draining) return;
    header_ = header.c_str();
    sent_ = sent;
    if (is_draining)
        apr_table_setn(r->headers_in, header_, disabled);
    else
        apr_table_unset(r->headers_in, header_);
}

void Activation::restore(request_rec* r) noexcept {
    const char* header = std::exchange(header_, nullptr);
    if (!header) return;
    if (sent_)
        apr_table_setn(r->headers_in, header, sent_);
    else
        apr_table_unset(r->headers_in, header);
}

}  // namespace lbsticky
