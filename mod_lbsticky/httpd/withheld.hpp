// What members do not see of a request: the balancer's own cookie, and the routes that were appended to session ids.
#pragma once

#include <span>

#include "httpd/apache.hpp"
#include "httpd/decision.hpp"

namespace lbsticky {

// What is withheld of one request, as long as that lasts. One thread at a time has a request.
class Withheld {
public:
    // All Cookie headers of the request, as the client and other modules left them, in one; null where there is none.
    // Begins anew: puts back what was taken out for a worker that did not answer.
    const char* all_cookies(request_rec* r) noexcept;

    // Takes it out of the request's headers; what is empty then goes as a whole. Holds the balancer's thread mutex
    // where it has to look an id through that decide() has not, for one header at a time. Throws std::bad_alloc.
    void take_out(const Decision& decision, request_rec* r);

    // Puts the request's headers back as they were: for whoever looks at the request once it has been sent.
    void restore(request_rec* r) noexcept;

    // Whether anything is not as it was.
    bool is_any() const noexcept { return sent_ != nullptr; }

private:
    // Headers of one name that are not in the request as they were.
    struct Sent {
        const char* name;
        std::span<const char* const> headers;
        Sent* next;
    };

    template <typename Shortened>
    void shorten(request_rec* r, const char* name, Shortened&& shortened);

    Sent* sent_ = nullptr;
};

}  // namespace lbsticky
