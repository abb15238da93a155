// One request finds out whether a worker's error is over.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/worker.hpp"

namespace lbsticky {

// The trial of a worker whose time in error is over, by one request of all processes. As long as it is under way the
// worker counts as in error for everybody else.
//
// One word in memory that processes share; zeros are no trial. Anyone may call anything at any time. A request that
// ends without a word, with its process, leaves a trial that is overdue by and by.
class Probe {
public:
    // Whether a trial is under way.
    bool is_under_way() const noexcept { return word_.load(std::memory_order_acquire) != 0; }

    // Begins one, which is overdue after `limit`: the caller is the one who tries. Returns its ticket; 0 if another one
    // is under way. `patient`: it is one that answers with a connection, and nothing more that can be seen.
    std::uint64_t begin(Milliseconds now, Milliseconds limit, bool patient) noexcept {
        std::uint64_t none = 0;
        const std::uint64_t ticket = (now + limit) << 1 | (patient ? 1 : 0);
        return word_.compare_exchange_strong(none, ticket) ? ticket : 0;
    }

    // Whether it is the trial with that ticket that is under way.
    bool is(std::uint64_t ticket) const noexcept { return word_.load(std::memory_order_acquire) == ticket; }

    // The ticket of a trial that is overdue; 0: there is none.
    std::uint64_t overdue(Milliseconds now) const noexcept {
        const std::uint64_t ticket = word_.load(std::memory_order_acquire);
        return ticket != 0 && now >= ticket >> 1 ? ticket : 0;
    }

    static bool is_patient(std::uint64_t ticket) noexcept { return (ticket & 1) != 0; }

    // Ends the trial with that ticket. False if it has been ended before.
    bool end(std::uint64_t ticket) noexcept { return word_.compare_exchange_strong(ticket, 0); }

private:
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
    std::atomic<std::uint64_t> word_;  // when it is overdue, in the upper 63 bits; and whether it is patient
};

}  // namespace lbsticky
