// What a worker does over time: the requests it is serving, the sessions that are alive on it, what became of it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/distinct_count.hpp"
#include "core/lifecycle.hpp"
#include "core/owner.hpp"
#include "core/probe.hpp"
#include "core/slow_start.hpp"

namespace lbsticky {

// The activity of one worker, in memory that processes share and that lives as long as the worker is configured, over
// graceful restarts. Behind it lies a row of cells, one for each column of Processes. Memory of zeros is a fresh one.
// Anyone may call anything at any time; times are seconds, at least `window`.
//
// Requests in flight: a process counts its own in its own cell. So the number is exact whatever happens to a process:
// when it has ended, its cell is cleared, and nothing that others counted is touched. The cells of 31 processes fill a
// cache line, which is the worker's own.
class alignas(64) Activity {
public:
    using Cell = std::atomic<std::uint16_t>;

    // How long a session counts as alive after its last request, at least; at most half as long again.
    static constexpr std::uint32_t window = 600;

    // Bytes from one activity to the next, with so many columns.
    static std::size_t bytes(std::size_t columns) noexcept {
        constexpr std::size_t line = 64;
        return sizeof(Activity) + ((1 + columns) * sizeof(Cell) + line - 1) / line * line;
    }

    // The worker whose it is.
    Owner& owner() noexcept { return owner_; }
    const Owner& owner() const noexcept { return owner_; }

    // Where the process with that column counts the requests that the worker is serving: one up, one down.
    Cell& cell(std::uint16_t column) noexcept {
        const auto next = static_cast<std::uint16_t>(column + 1);
        std::uint16_t used = columns_used().load(std::memory_order_relaxed);
        while (used < next && !columns_used().compare_exchange_weak(used, next, std::memory_order_relaxed)) {
        }
        return cells()[column];
    }

    // Forgets what the process with that column counted. For its parent, when it has ended.
    void clear(std::uint16_t column) noexcept { cells()[column].store(0, std::memory_order_relaxed); }

    // Requests that the worker is serving, in all processes. Adds up one cell a process.
    std::uint32_t in_flight() const noexcept {
        std::uint32_t sum = 0;
        const std::size_t columns = columns_used().load(std::memory_order_relaxed);
        for (std::size_t column = 0; column < columns; ++column) sum += cells()[column].load(std::memory_order_relaxed);
        return sum;
    }

    // A request came that is one of the session with that hash, all bits of which must be spread evenly. False if that
    // adds nothing to sessions(): it was seen before, or there are so many that one more makes no difference.
    bool session_seen(std::uint64_t hash, std::uint32_t now) noexcept { return sessions_.add(hash, slice_at(now)); }

    // How many different sessions were seen in the window: an estimate (see DistinctCount). Reads 2 KB.
    std::uint32_t sessions(std::uint32_t now) const noexcept;

    // The same for a choice: no older than a second, and what was placed since is added. Reads a word, but for once a
    // second.
    std::uint32_t sessions_and_placed(std::uint32_t now) noexcept;

    // A new session was placed here, whose requests are still to come.
    void session_placed() noexcept { estimated_.fetch_add(1, std::memory_order_relaxed); }

    // Whether it is tried, by one request, if its error is over.
    Probe& probe() noexcept { return probe_; }
    const Probe& probe() const noexcept { return probe_; }

    // Thins out its turns in that sequence of tickets, as long as it is recovering.
    Thinning& thinning(std::size_t sequence) noexcept { return thinnings_[sequence]; }

    // A request came of a session that belongs to the worker. Writes ten times a second at most: what is beside it is
    // read for each request, by all processes.
    void sticky_seen(Milliseconds now) noexcept {
        constexpr Milliseconds tenth = 100;
        if (last_sticky() / tenth != now / tenth) last_sticky_.store(now, std::memory_order_relaxed);
    }

    // When the last one came, within a tenth of a second; 0: never.
    Milliseconds last_sticky() const noexcept { return last_sticky_.load(std::memory_order_relaxed); }

    // What became of it, and since when.
    Lifecycle& life() noexcept { return life_; }
    const Lifecycle& life() const noexcept { return life_; }

private:
    // Two full slices and the current one count.
    static constexpr std::uint32_t slice_at(std::uint32_t now) noexcept {
        return now / (window / (DistinctCount::slices - 1));
    }

    // Behind the activity: the number of columns that were ever in use, then the cells.
    Cell& columns_used() noexcept { return *reinterpret_cast<Cell*>(this + 1); }
    const Cell& columns_used() const noexcept { return *reinterpret_cast<const Cell*>(this + 1); }
    Cell* cells() noexcept { return &columns_used() + 1; }
    const Cell* cells() const noexcept { return &columns_used() + 1; }

    Owner owner_;
    std::atomic<Milliseconds> last_sticky_;
    std::atomic<std::uint64_t> estimated_;  // the second of the estimate in the upper half, sessions in the lower
    Lifecycle life_;
    Probe probe_;
    std::array<Thinning, 2> thinnings_;  // for each sequence of tickets
    alignas(64) DistinctCount sessions_;
};

}  // namespace lbsticky
