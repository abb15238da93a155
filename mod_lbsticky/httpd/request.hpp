// The way of one request: read, decided, refused or handed over, made known.
#pragma once

#include <optional>
#include <span>

#include "httpd/activation.hpp"
#include "httpd/apache.hpp"
#include "httpd/decision.hpp"
#include "httpd/exchange.hpp"
#include "httpd/in_flight.hpp"
#include "httpd/outcome.hpp"

namespace lbsticky {

// What this module remembers of a request as long as it lasts. One thread at a time has a request.
class Request {
public:
    // What is remembered of r. The first call makes it.
    static Request& of(request_rec* r);

    // The hook that mod_proxy runs for the worker of a request, registered before mod_proxy_balancer's own.
    static int pre_request(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                           char** url) noexcept;

    // The hook that mod_proxy runs when it is done with a request, whatever came of it: the request is counted, and
    // what follows, the access log first of all, finds it as the client sent it.
    static int request_status(int* status, request_rec* r) noexcept;

    // The hooks of httpd's that are run for an answer other than the member's: an error page of httpd's own, and what
    // the request is redirected to within httpd. mod_proxy_fcgi sends these itself, before mod_proxy is done with it.
    static void insert_error_filter(request_rec* r) noexcept { replaced(r); }
    static void insert_filter(request_rec* r) noexcept {
        if (r->prev) replaced(r->prev);
    }

    // The worker for mod_proxy_balancer, which asks for it through the lbmethod: the one that was decided on, once;
    // else decides, since mod_proxy_balancer may have recovered workers meanwhile, or asks again. Null: nobody can
    // serve. Needs the balancer's thread mutex. Throws what std::exception is the base of; then nothing is decided.
    proxy_worker* hand_out(Balancer& own, request_rec* r);

    // Remembers a worker, or nobody, that was found when hand_out() could not.
    proxy_worker* fall_back_to(Balancer* own, proxy_worker* worker) noexcept;

private:
    static void replaced(request_rec* r) noexcept;
    int choose_worker(Balancer& own, proxy_worker** worker, request_rec* r, proxy_server_conf* conf,
                      char** url) noexcept;
    void decide_anew(Balancer& own, const Claims& claims, const Rules& rules, request_rec* r);
    std::span<const proxy_worker* const> failed() const noexcept {
        if (!failed_) return {};
        return {reinterpret_cast<const proxy_worker**>(failed_->elts), static_cast<std::size_t>(failed_->nelts)};
    }

    apr_array_header_t* failed_ = nullptr;  // the workers that were asked for this request, in vain
    const Claims* claims_ = nullptr;        // as long as mod_proxy_balancer is asked
    std::optional<Decision> decision_;
    Exchange exchange_;
    Tally tally_;
    InFlight in_flight_;
    Trial trial_;
    Activation activation_;
};

}  // namespace lbsticky
