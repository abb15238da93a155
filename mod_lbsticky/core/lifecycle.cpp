#include "core/lifecycle.hpp"

#include "core/starts.hpp"

namespace lbsticky {

std::uint64_t Lifecycle::after(std::uint64_t known, const Status& status, std::uint16_t start, Milliseconds now,
                               Milliseconds newcomer) noexcept {
    const auto bit = [known](unsigned place) { return (known >> place & 1) != 0; };
    const State before = state_in(known);
    const bool is_older = starts_since(static_cast<std::uint16_t>(known >> start_bit), start) < 0;
    if (before != State::unseen && is_older) return known;

    const State state = status.draining ? State::draining : status.usable ? State::in_service : State::out;
    const bool is_no_more_in_reserve = (bit(standby_bit) && !status.standby) || (bit(spare_bit) && !status.spare);
    Milliseconds since = now;
    if (before == State::unseen && state == State::in_service)
        since = newcomer;
    else if (before == state && !(state == State::in_service && is_no_more_in_reserve))
        since = known & time_mask;
    return (since & time_mask) | static_cast<std::uint64_t>(state) << time_bits |
           std::uint64_t{status.standby} << standby_bit | std::uint64_t{status.spare} << spare_bit |
           std::uint64_t{start} << start_bit;
}

}  // namespace lbsticky
