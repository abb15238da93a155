// What became of a worker, and since when.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/worker.hpp"

namespace lbsticky {

// Since when a worker is draining or in service: in service is who can serve and is not draining. It comes into service
// when an error or a failed health check is over, when it is disabled, stopped, draining, a standby or a spare no more,
// and when it is a newcomer: first seen while others serve. Who has been in service since the start came at no time.
//
// One word in memory that processes share; zeros are a worker that nobody has seen. Anyone may call anything at any
// time. The first who sees a change notes it; so every status that is read from httpd's memory is to be shown to it.
class Lifecycle {
public:
    // Notes the worker's status. read() must read it anew each time, since others may note a newer one meanwhile.
    // `start` counts the starts of the server: what is seen of the memory of an older one, as children see it that are
    // about to end, is not noted any more. `now` is at least 1.
    template <typename Read>
    void see(Read&& read, std::uint16_t start, Milliseconds now) noexcept {
        std::uint64_t known = word_.load(std::memory_order_acquire);
        for (;;) {
            const Status status = read();
            const std::uint64_t next = after(known, status, start, now, now);
            if (next == known || word_.compare_exchange_weak(known, next)) return;
        }
    }

    // The same at a start of the server, from which on older ones note nothing. Who is seen for the first time then has
    // been in service `since`; 0: always.
    void begin(const Status& status, std::uint16_t start, Milliseconds now, Milliseconds since) noexcept {
        std::uint64_t known = word_.load(std::memory_order_relaxed);
        while (!word_.compare_exchange_weak(known, after(known, status, start, now, since))) {
        }
    }

    // Since when it is what it is: in service, out of service or draining; 0: since the start.
    Milliseconds since() const noexcept { return word_.load(std::memory_order_acquire) & time_mask; }

    // When it began to drain; 0: it is not draining.
    Milliseconds draining_since() const noexcept { return since(State::draining); }

    // When it came into service; 0: it is not in service, or has always been.
    Milliseconds in_service_since() const noexcept { return since(State::in_service); }

private:
    enum class State : std::uint64_t { unseen, out, in_service, draining };

    // The word from its lowest bit on: the time since when (44 bits), the state (2), whether it is a standby, a spare,
    // and the start that it was seen in (16).
    static constexpr unsigned time_bits = 44;
    static constexpr std::uint64_t time_mask = (std::uint64_t{1} << time_bits) - 1;
    static constexpr unsigned standby_bit = time_bits + 2;
    static constexpr unsigned spare_bit = time_bits + 3;
    static constexpr unsigned start_bit = time_bits + 4;

    static State state_in(std::uint64_t word) noexcept { return static_cast<State>(word >> time_bits & 3); }

    Milliseconds since(State state) const noexcept {
        const std::uint64_t word = word_.load(std::memory_order_acquire);
        return state_in(word) == state ? word & time_mask : 0;
    }

    // The word for a worker that has this status now. `newcomer`: since when one is in service that nobody has seen.
    static std::uint64_t after(std::uint64_t known, const Status& status, std::uint16_t start, Milliseconds now,
                               Milliseconds newcomer) noexcept;

    static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
    std::atomic<std::uint64_t> word_;
};

}  // namespace lbsticky
