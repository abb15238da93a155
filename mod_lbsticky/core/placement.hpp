// Who gets a new session, and when a worker is full.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/roster.hpp"
#include "core/words.hpp"

namespace lbsticky {

// By what the worker of a new session is chosen; the words are those of LBStickyPlace.
enum class Placement { rotation, busyness, sessions };
inline constexpr std::array<Word<Placement>, 3> placement_words{
    {{"rotation", Placement::rotation}, {"busyness", Placement::busyness}, {"sessions", Placement::sessions}}};

constexpr std::string_view word_for(Placement placement) noexcept {
    return word_in(placement_words, placement);
}

// Requests in flight for each load factor of 1 from which on a worker is full. 0: never.
struct Limits {
    std::uint32_t fresh = 0;  // for new sessions
    std::uint32_t all = 0;    // for all requests

    // New sessions are requests too.
    std::uint32_t for_new_sessions() const noexcept { return all != 0 && (fresh == 0 || all < fresh) ? all : fresh; }
};

// Whether a worker has so many requests in flight. What nobody knows the activity of is never full.
bool is_full(const Worker& worker, std::uint32_t limit) noexcept;

// Whether the first has fewer requests in flight for its load factor.
bool is_less_busy(const Worker& one, const Worker& other) noexcept;

struct Placed {
    std::optional<std::size_t> worker;  // nobody: none is eligible
    std::optional<std::size_t> other;   // the one it was preferred to, if load decided
};

// Places a new session. Draws one ticket, or none if nobody is eligible; more where turns of recovering workers do not
// hold.
//
//   rotation   the worker whose turn it is
//   busyness   of those whose turn comes next, the one with the fewest requests in flight for its load factor
//   sessions   of those, the one with the fewest sessions alive, requests in flight added to them
//
// As the turns are those of an exact rotation, a worker is among the next in proportion to its load factor; of equals
// the first is chosen, which is rotation again. That the least loaded of a few is nearly as good as that of all is M.
// Mitzenmacher's result ("The Power of Two Choices in Randomized Load Balancing", 2001); with eight a worker that is
// slow gets hardly more than by a look at all. It costs a look at that many workers at most, however many there are,
// two cache lines each and one more for every 32 processes (Activity::in_flight); it ends at the first that is idle.
//
// A recovering worker is looked at where its own turn has come, and then only; so it gets its part at most.
//
// A worker that is full is passed over as long as any other eligible one is not: then it costs a look at more of them,
// at each where nearly all are full. Where all are, the least busy one is chosen.
//
// One thread at a time, for the roster's sake. Throws std::bad_alloc, and draws no ticket then.
Placed place_by_load(Placement by, std::uint32_t limit, Roster& roster, Tickets& tickets, Milliseconds now);
inline Placed place(Placement by, std::uint32_t limit, Roster& roster, Tickets& tickets, Milliseconds now) {
    if (by == Placement::rotation && limit == 0) return {roster.by_rotation(tickets, now), std::nullopt};
    return place_by_load(by, limit, roster, tickets, now);
}

// How many workers are looked at, as long as one is not full; and how many turns, where one of them has most.
inline constexpr std::size_t max_candidates = 8;
inline constexpr std::uint64_t max_turns = 32;

}  // namespace lbsticky
