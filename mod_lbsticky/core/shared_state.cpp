#include "core/shared_state.hpp"

#include <type_traits>

#include "core/hash64.hpp"

namespace lbsticky {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share an atomic with a lock");
static_assert(std::is_standard_layout_v<SharedState> && std::is_trivially_destructible_v<SharedState>);
static_assert(sizeof(WorkerTally) == 128 && sizeof(SharedState) % alignof(WorkerTally) == 0);

namespace {

void add(std::atomic<std::uint64_t>& to, const std::atomic<std::uint64_t>& from) noexcept {
    to.fetch_add(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

}  // namespace

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
    const auto add = [&sums](const WorkerTally& tally) {
        for (std::size_t i = 0; i < served_affinities; ++i)
            sums[i] += tally.requests[i].load(std::memory_order_relaxed);
    };
    add(gone_);
    for (std::size_t slot = 0; slot < slots_; ++slot) add(tallies()[slot]);
    return sums;
}

void WorkerTally::add(const WorkerTally& other) noexcept {
    for (std::size_t i = 0; i < served_affinities; ++i) lbsticky::add(requests[i], other.requests[i]);
    lbsticky::add(moved_away, other.moved_away);
}

void SharedState::inherit(const SharedState& old) noexcept {
    add(tickets_, old.tickets_);
    add(tickets_without_session_, old.tickets_without_session_);
    add(unknown_routes_, old.unknown_routes_);
    add(refused_, old.refused_);
    add(cookies_issued_, old.cookies_issued_);
    add(cookies_unknown_, old.cookies_unknown_);
    add(cookies_outdated_, old.cookies_outdated_);
    add(ids_too_long_, old.ids_too_long_);
    gone_.add(old.gone_);
    for (std::size_t other = 0; other < old.slots_; ++other) {
        const WorkerTally& from = old.tallies()[other];
        const std::uint64_t owner = from.owner.load(std::memory_order_relaxed);
        WorkerTally* to = &gone_;
        for (std::size_t slot = 0; owner != 0 && slot < slots_; ++slot)
            if (tallies()[slot].owner.load(std::memory_order_relaxed) == owner) to = &tallies()[slot];
        to->add(from);
    }
}

}  // namespace lbsticky
