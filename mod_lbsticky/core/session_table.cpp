#include "core/session_table.hpp"

#include <limits>
#include <type_traits>

namespace lbsticky {

static_assert(std::is_standard_layout_v<SessionTable> && std::is_trivially_destructible_v<SessionTable>);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free &&
                  std::atomic<Origin>::is_always_lock_free,
              "processes cannot share an atomic with a lock");

namespace {

std::uint32_t age_of(std::uint32_t last_use, std::uint32_t now) noexcept {
    const std::uint32_t age = now - last_use;
    return age > std::numeric_limits<std::int32_t>::max() ? 0 : age;
}

bool is_alive(std::uint32_t last_use, std::uint32_t now, std::uint32_t idle) noexcept {
    return last_use != 0 && age_of(last_use, now) <= idle;
}

// Of those in a full set the one that is worth least makes room; 0: not alive.
std::uint64_t worth(std::uint32_t last_use, Origin origin, std::uint32_t now, std::uint32_t idle) noexcept {
    if (!is_alive(last_use, now, idle)) return 0;
    const auto rank = static_cast<std::uint64_t>(origin) + 1;
    return rank << 32 | (std::numeric_limits<std::uint32_t>::max() - age_of(last_use, now));
}

// Whether an entry makes way for another one of the same session, whoever comes.
bool yields(Origin there, Origin comes) noexcept {
    return there == Origin::guessed && comes != Origin::guessed;
}

// What a claim of that second is; not 0.
std::uint16_t claim_of(std::uint32_t now) noexcept {
    const auto claim = static_cast<std::uint16_t>(now);
    return claim == 0 ? std::uint16_t{1} : claim;
}

}  // namespace

SessionTable* SessionTable::create(void* memory, std::size_t places) noexcept {
    auto* table = static_cast<SessionTable*>(memory);
    table->sets_ = sets_for(places);
    table->mark_.store(mark, std::memory_order_release);
    return table;
}

std::optional<SessionTable::Known> SessionTable::find(SessionKey key, std::uint32_t now, std::uint32_t idle,
                                                      bool is_used) noexcept {
    std::optional<Known> known;
    set_of(key).each_place(key, [&](Place& place) {
        const auto found = place.of(key);
        if (!found) return false;
        std::uint32_t seen = place.last_use.load(std::memory_order_relaxed);
        if (!is_alive(seen, now, idle)) return true;
        // If another session has come here meanwhile, it is not this one's use that counts. Of several who use it at
        // once, one sees the use before.
        if (is_used && age_of(seen, now) > 0)
            place.last_use.compare_exchange_strong(seen, now, std::memory_order_relaxed);
        known = Known{*found, seen};
        return true;
    });
    return known;
}

bool SessionTable::put(SessionKey key, std::uint64_t worker, std::uint32_t now, std::uint32_t idle,
                       Origin origin) noexcept {
    return put(key, {worker, origin}, origin == Origin::given, now, idle);
}

bool SessionTable::move(SessionKey key, std::uint64_t worker, std::uint32_t now, std::uint32_t idle) noexcept {
    const auto found = find(key, now, idle);
    return found && put(key, {worker, found->origin}, true, now, idle);
}

bool SessionTable::put(SessionKey key, Found wanted, bool moves, std::uint32_t now, std::uint32_t idle) noexcept {
    // An application may give the same id with each response: then nothing is written.
    const auto found = find(key, now, idle);
    if (found && (*found == wanted || !(moves || yields(found->origin, wanted.origin))))
        return found->worker == wanted.worker;

    const auto stored = store({key, wanted, now}, moves, now, idle);
    if (stored == Stored::for_another) losses_.evicted.fetch_add(1, std::memory_order_relaxed);
    if (stored == Stored::yes || stored == Stored::for_another) return true;
    if (stored != Stored::not_needed) losses_.dropped.fetch_add(1, std::memory_order_relaxed);
    return false;
}

std::optional<SessionTable::Stored> SessionTable::store(const Entry& entry, bool moves, std::uint32_t now,
                                                        std::uint32_t idle) noexcept {
    Set& set = set_of(entry.key);
    if (!set.claim(now)) return std::nullopt;
    const Stored stored = set.store(entry, moves, now, idle);
    set.release(now);
    return stored;
}

std::size_t SessionTable::held(std::uint32_t now, std::uint32_t idle) const noexcept {
    std::size_t alive = 0;
    for (std::size_t i = 0; i < sets_; ++i)
        for (const Place& place : sets()[i].places())
            alive += is_alive(place.last_use.load(std::memory_order_relaxed), now, idle);
    return alive;
}

void SessionTable::inherit(const SessionTable& old, std::uint32_t now, std::uint32_t idle) noexcept {
    std::uint64_t lost = old.evicted();
    for (std::size_t i = 0; i < old.sets_; ++i) {
        for (const Place& place : old.sets()[i].places()) {
            const Entry entry = place.read();
            if (!is_alive(entry.last_use, now, idle)) continue;
            const auto stored = store(entry, false, now, idle);
            lost += stored != Stored::yes && stored != Stored::not_needed;
        }
    }
    losses_.evicted.fetch_add(lost, std::memory_order_relaxed);
    losses_.dropped.fetch_add(old.dropped(), std::memory_order_relaxed);
}

SessionTable::Entry SessionTable::Place::read() const noexcept {
    const Found found{worker_.load(std::memory_order_relaxed), origin()};
    return {{high_.load(std::memory_order_relaxed), bind(bound_low_.load(std::memory_order_relaxed), found)},
            found,
            last_use.load(std::memory_order_relaxed)};
}

void SessionTable::Place::write(const Entry& entry) noexcept {
    // Empty first and used last: whoever is killed between leaves a place that is empty, not one in disorder.
    last_use.store(0, std::memory_order_relaxed);
    high_.store(entry.key.high, std::memory_order_release);
    worker_.store(entry.found.worker, std::memory_order_release);
    origin_.store(entry.found.origin, std::memory_order_release);
    bound_low_.store(bind(entry.key.low, entry.found), std::memory_order_release);
    last_use.store(entry.last_use, std::memory_order_release);
}

bool SessionTable::Set::claim(std::uint32_t now) noexcept {
    // Looks again for about a microsecond, which is several times what others take.
    constexpr int looks = 1000;
    std::atomic<std::uint16_t>& claimed = places_[0].claimed;
    for (int look = 0; look < looks; ++look) {
        std::uint16_t since = claimed.load(std::memory_order_relaxed);
        // A claim of the future is from before the clock was set back.
        const auto age = static_cast<std::uint16_t>(claim_of(now) - since + longest_claim);
        const bool is_kept = since != 0 && age <= 2 * longest_claim;
        if (!is_kept && claimed.compare_exchange_strong(since, claim_of(now), std::memory_order_acquire)) return true;
    }
    return false;
}

void SessionTable::Set::release(std::uint32_t now) noexcept {
    // Whoever was stopped for so long that the claim was taken over does not end another's. What both have written at
    // once is at worst lost.
    std::uint16_t own = claim_of(now);
    places_[0].claimed.compare_exchange_strong(own, 0, std::memory_order_release, std::memory_order_relaxed);
}

SessionTable::Stored SessionTable::Set::store(const Entry& entry, bool moves, std::uint32_t now,
                                              std::uint32_t idle) noexcept {
    Place* victim = nullptr;
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    std::optional<Stored> known;
    each_place(entry.key, [&](Place& place) {
        const std::uint32_t last = place.last_use.load(std::memory_order_relaxed);
        if (const auto found = place.of(entry.key)) {
            if (is_alive(last, now, idle) && !(moves || yields(found->origin, entry.found.origin)))
                known = found->worker == entry.found.worker ? Stored::yes : Stored::not_needed;
            victim = &place;
            least = 0;
            return true;
        }
        const std::uint64_t here = worth(last, place.origin(), now, idle);
        if (here < least) {
            victim = &place;
            least = here;
        }
        return false;
    });
    if (known) return *known;
    if (least > worth(entry.last_use, entry.found.origin, now, idle)) return Stored::no_room;
    victim->write(entry);
    return least > 0 ? Stored::for_another : Stored::yes;
}

}  // namespace lbsticky
