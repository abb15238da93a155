// The way of one request: what is decided for it, and what it leaves behind.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "core/affinity.hpp"
#include "httpd/apache.hpp"
#include "httpd/response.hpp"

namespace lbsticky {

struct Balancer;

// The decision for a request. Its views are valid as long as the request.
struct Decision {
    proxy_worker* worker = nullptr;  // nobody: 503
    Affinity affinity = Affinity::fresh;
    Session session;
    proxy_worker* moved_from = nullptr;  // whom the request wanted and could not have
    bool unknown_route = false;          // its session id carries no route, or one that nobody has
    bool unknown_cookie = false;         // the balancer's own cookie names nobody
    bool may_have_cookie = true;         // the Cookie header may hold the balancer's own
};

// What this module remembers of a request as long as it lasts. One thread at a time has a request.
class Request {
public:
    // That of r, made at the first call.
    static Request& of(request_rec* r);

    // The hook that mod_proxy runs for the worker of a request, registered before mod_proxy_balancer's own: lets that
    // one run, and then makes known what came of it, whoever decided.
    static int pre_request(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                           char** url) noexcept;

    // The hook that mod_proxy runs when it is done with a request, whatever came of it: the request is counted, and
    // what follows, the access log first of all, finds it as the client sent it.
    static int request_status(int* status, request_rec* r) noexcept;

    // Decides who serves the request, nobody being null, and remembers why. For the lbmethod's finder: needs the
    // balancer's thread mutex. Throws what std::exception is the base of; then nothing is decided.
    proxy_worker* decide(proxy_balancer& balancer, request_rec* r);

    // Remembers a worker, or nobody, that was found when decide() could not.
    proxy_worker* fall_back_to(proxy_worker* worker) noexcept;

private:
    void choose_worker(proxy_worker** worker, proxy_balancer** balancer, request_rec* r, proxy_server_conf* conf,
                       char** url, int& status);
    Question question_of(const Balancer& own, const request_rec* r, SessionName& from_stickysession);
    Decision decided_by_httpd(Balancer& own, proxy_balancer& balancer, proxy_worker* chosen, request_rec* r);
    void note_cookie(Balancer& own, const Question& question, const Roster& roster, const Choice& choice,
                     request_rec* r);
    void give_cookie(Balancer& own, proxy_balancer& balancer, request_rec* r);
    std::span<const proxy_worker* const> failed() const noexcept {
        if (!failed_) return {};
        return {reinterpret_cast<const proxy_worker**>(failed_->elts), static_cast<std::size_t>(failed_->nelts)};
    }
    static void refuse(const proxy_balancer& balancer, const proxy_worker& named, request_rec* r);
    void conclude(proxy_balancer& balancer, proxy_worker* chosen, request_rec* r);
    void note_counts(Balancer& own, const Decision& decision, const request_rec* r) noexcept;

    bool inside_ = false;                           // choose_worker() lets mod_proxy_balancer's hook run
    apr_array_header_t* failed_ = nullptr;          // the workers that were asked for this request, in vain
    std::optional<Decision> decision_;              // what was decided, by the finder if it was asked
    const char* cookies_ = nullptr;                 // the Cookie header as the client sent it
    CookieToSet cookie_;                            // what the client is to be given
    bool has_filter_ = false;                       // the response passes the filter that gives it
    bool is_stripped_ = false;                      // the Cookie header lacks the balancer's own
    std::atomic<std::uint64_t>* served_ = nullptr;  // what counts the request when it has ended
    std::atomic<std::uint64_t>* moved_ = nullptr;   // and what counts that it had to move
};

}  // namespace lbsticky
