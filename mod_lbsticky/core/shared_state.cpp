#include "core/shared_state.hpp"

#include <type_traits>

#include "core/hash64.hpp"

namespace lbsticky {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
static_assert(std::is_standard_layout_v<SharedState> && std::is_trivially_destructible_v<SharedState>);
static_assert(sizeof(WorkerTally) == 64 && sizeof(SharedState) % alignof(WorkerTally) == 0);

SharedState* SharedState::create(void* memory, std::size_t slots) noexcept {
    auto* state = static_cast<SharedState*>(memory);
    state->slots_ = slots;
    state->mark_.store(mark, std::memory_order_release);
    return state;
}

bool SharedState::claim(std::size_t slot, std::string_view url) noexcept {
    if (slot >= slots_) return false;
    const std::uint64_t owner = hash64(url);
    std::uint64_t found = 0;
    return tallies()[slot].owner.compare_exchange_strong(found, owner, std::memory_order_relaxed) || found == owner;
}

std::array<std::uint64_t, affinities> SharedState::totals() const noexcept {
    std::array<std::uint64_t, affinities> sums{};
    sums[static_cast<std::size_t>(Affinity::refused)] = refused_.load(std::memory_order_relaxed);
    const auto add = [&sums](const auto& counts) {
        for (std::size_t i = 0; i < affinities; ++i) sums[i] += counts[i].load(std::memory_order_relaxed);
    };
    add(gone_);
    for (std::size_t slot = 0; slot < slots_; ++slot) add(tallies()[slot].requests);
    return sums;
}

void SharedState::inherit(const SharedState& old) noexcept {
    const auto add = [](std::atomic<std::uint64_t>& to, const std::atomic<std::uint64_t>& from) {
        to.fetch_add(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
    };
    add(tickets_, old.tickets_);
    add(refused_, old.refused_);
    add(cookies_issued_, old.cookies_issued_);
    add(cookies_unknown_, old.cookies_unknown_);
    for (std::size_t i = 0; i < affinities; ++i) add(gone_[i], old.gone_[i]);
    for (std::size_t other = 0; other < old.slots_; ++other) {
        const WorkerTally& from = old.tallies()[other];
        const std::uint64_t owner = from.owner.load(std::memory_order_relaxed);
        auto* to = &gone_;
        for (std::size_t slot = 0; owner != 0 && slot < slots_; ++slot)
            if (tallies()[slot].owner.load(std::memory_order_relaxed) == owner) to = &tallies()[slot].requests;
        for (std::size_t i = 0; i < affinities; ++i) add((*to)[i], from.requests[i]);
    }
}

}  // namespace lbsticky
