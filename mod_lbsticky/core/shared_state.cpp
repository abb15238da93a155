#include "core/shared_state.hpp"

#include <type_traits>

namespace lbsticky {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
static_assert(std::is_standard_layout_v<SharedState> && std::is_trivially_destructible_v<SharedState>);
static_assert(sizeof(WorkerTally) == 128 && sizeof(SharedState) % alignof(WorkerTally) == 0);

namespace {

void add_to(std::atomic<std::uint64_t>& to, const std::atomic<std::uint64_t>& from) noexcept {
    to.fetch_add(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

}  // namespace

void WorkerTally::add(const WorkerTally& other) noexcept {
    for (std::size_t i = 0; i < served_affinities; ++i) add_to(requests[i], other.requests[i]);
    add_to(moved_away, other.moved_away);
    add_to(unknown_routes, other.unknown_routes);
}

SharedState* SharedState::create(void* memory) noexcept {
    auto* state = static_cast<SharedState*>(memory);
    state->mark.store(intact_mark, std::memory_order_release);
    return state;
}

std::array<std::uint64_t, affinities> SharedState::totals(std::span<WorkerTally* const> tallies) const noexcept {
    std::array<std::uint64_t, affinities> sums{};
    sums[static_cast<std::size_t>(Affinity::refused)] = counts[Count::refused].load(std::memory_order_relaxed);
    const auto add = [&sums](const WorkerTally& tally) {
        for (std::size_t i = 0; i < served_affinities; ++i)
            sums[i] += tally.requests[i].load(std::memory_order_relaxed);
    };
    add(gone);
    for (const WorkerTally* tally : tallies)
        if (tally) add(*tally);
    return sums;
}

void WorkerTally::count_from(Milliseconds when, std::uint64_t all_fresh) noexcept {
    Milliseconds known = since.load(std::memory_order_relaxed);
    if (known == when || !since.compare_exchange_strong(known, when)) return;
    fresh_before.store(of(Affinity::fresh).load(std::memory_order_relaxed), std::memory_order_relaxed);
    all_fresh_before.store(all_fresh, std::memory_order_relaxed);
}

}  // namespace lbsticky
