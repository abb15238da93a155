// Tells a member that it is draining, with each request.
#pragma once

#include "httpd/apache.hpp"
#include "httpd/decision.hpp"

namespace lbsticky {

// What is done about that for one request: over AJP by the attribute that mod_jk sends, JK_LB_ACTIVATION; over HTTP by
// the header of LBStickyDrain header=NAME. Either has the value DIS. What a client says by that header is no member's
// business. One thread at a time has a request.
class Activation {
public:
    // For each worker that is chosen.
    void tell(const Decision& decision, request_rec* r) noexcept;

    // Puts the request's headers back as they were: for the access log.
    void restore(request_rec* r) noexcept;

private:
    const char* header_ = nullptr;  // the name of a header that is not as it was
    const char* sent_ = nullptr;    // what the client had sent in it; null: nothing
};

}  // namespace lbsticky
