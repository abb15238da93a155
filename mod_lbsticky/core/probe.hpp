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
// ends without a word, with its process, leaves a trial that is overdue by and by; so does a process that ends while it
// puts the worker into error.
//
// Whoever ends a trial puts the worker into error, or not, in httpd's memory, which is another one after each start of
// the server. So a trial belongs to the start that it was begun in.
class Probe {
public:
    // Whether a trial is under way.
    bool is_under_way() const noexcept { return word_.load(std::memory_order_acquire) != 0; }

    // Begins one, which is overdue after `limit`: the caller is the one who tries. Returns its ticket; 0 if another one
    // is under way. `start` counts the starts of the server. `patient`: it is one that answers with a connection, and
    // nothing more that can be seen.
    std::uint64_t begin(std::uint16_t start, Milliseconds now, Milliseconds limit, bool patient) noexcept {
        std::uint64_t none = 0;
        const std::uint64_t ticket =
            std::uint64_t{start} << start_bit | ((now + limit) & time_mask) << 2 | (patient ? patient_bit : 0);
        return word_.compare_exchange_strong(none, ticket) ? ticket : 0;
    }

    // The ticket of a trial that is overdue; 0: there is none.
    std::uint64_t overdue(Milliseconds now) const noexcept {
        const std::uint64_t word = word_.load(std::memory_order_acquire);
        if (word == 0) return 0;
        // Who puts the worker into error is given a second more.
        const Milliseconds end = (word >> 2 & time_mask) + ((word & failing_bit) != 0 ? 1000 : 0);
        return now >= end ? word : 0;
    }

    static bool is_patient(std::uint64_t ticket) noexcept { return (ticket & patient_bit) != 0; }
    static std::uint16_t start_of(std::uint64_t ticket) noexcept {
        return static_cast<std::uint16_t>(ticket >> start_bit);
    }

    // The trial with that ticket has failed: the caller puts the worker into error, and calls end() then. False if it
    // has been ended before, or somebody else is doing that.
    bool begin_failure(std::uint64_t ticket) noexcept {
        std::uint64_t word = ticket;
        return word_.compare_exchange_strong(word, ticket | failing_bit);
    }

    // The trial with that ticket is over. False if it has been ended before.
    bool end(std::uint64_t ticket) noexcept {
        std::uint64_t word = ticket & ~failing_bit;
        if (word_.compare_exchange_strong(word, 0)) return true;
        word = ticket | failing_bit;
        return word_.compare_exchange_strong(word, 0);
    }

    // Forgets whatever trial there is. At a start of the server, whose memory says anew who is in error.
    void forget() noexcept { word_.store(0, std::memory_order_release); }

private:
    // The word from its lowest bit on: whether the trial is patient, whether somebody is putting the worker into error,
    // when it is overdue (46 bits), and the start (16).
    static constexpr std::uint64_t patient_bit = 1;
    static constexpr std::uint64_t failing_bit = 2;
    static constexpr std::uint64_t time_mask = (std::uint64_t{1} << 46) - 1;
    static constexpr unsigned start_bit = 48;

    static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
    std::atomic<std::uint64_t> word_;
};

}  // namespace lbsticky
