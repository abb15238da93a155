// Which worker a session is on, for session ids that cannot say it themselves: a table in shared memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace lbsticky {

// A session in the table: 128 bits of a keyed hash of its id. All bits must be spread evenly, and nobody else may be
// able to compute it: then no client finds an id that is taken for another one, or many that fall into one set.
struct SessionKey {
    std::uint64_t high;
    std::uint64_t low;

    friend bool operator==(const SessionKey&, const SessionKey&) = default;
};

// Why a session is on its worker.
enum class Origin : std::uint8_t {
    guessed,  // the balancer chose the worker for an id that it did not know, and others may know better
    placed,   // the balancer chose the worker for an id that nobody knew
    given,    // the worker made the id
};

// A table of sessions, 32 bytes each. Header, then sets of eight places; a session's key chooses its set, whatever the
// number of sets. Numbers only: processes map it where they like, and two generations of a server use it at once over
// a graceful restart. Memory of zeros is an empty table but for the mark and the number of sets.
//
// Anyone may call anything at any time, and may be killed at any moment. Times are seconds, at least 1, of one clock
// for all processes, which should never be set back (CLOCK_MONOTONIC); `now` is the time of the call: threads may
// differ by a second. A session is alive until its last use is more than `idle` seconds ago. One that was last used in
// the future was used now.
//
// Who looks up takes no lock. Each part of an entry is an atomic by itself, so a reader may see some parts of what was
// there before and some of what comes. So that such a mixture is nobody's session, not some session on a wrong worker,
// the lower half of the key is stored combined with the rest by exclusive or (R. Hyatt and T. Mann, "A lock-less
// transposition table implementation for parallel search chess engines", 2002): it only comes out right with the worker
// it was stored with. So no order between the parts is needed for that, and none is asked for.
//
// Who writes claims the set, for less than a microsecond: of two that store the same session at once the second finds
// what the first has stored. It waits for the first no longer than a thousand looks: a claim is the second in which it
// was made (its last 16 bits), and one that is more than `longest_claim` old is of a process that was killed, and is
// taken over. Until then nothing can be stored in those eight places, while look-ups go on.
class alignas(64) SessionTable {
public:
    // What the table says of a session.
    struct Found {
        std::uint64_t worker;  // hash64 of its route_id
        Origin origin;

        friend bool operator==(const Found&, const Found&) = default;
    };

    // What it says, and when the session was used before.
    struct Known : Found {
        std::uint32_t last_use;
    };

    static constexpr std::uint32_t longest_claim = 3;  // seconds

    // Bytes that a table of so many places takes, rounded up to whole sets: one at least, and fewer than 2^32.
    static std::size_t bytes(std::size_t places) noexcept {
        return sizeof(SessionTable) + sets_for(places) * sizeof(Set);
    }

    // Makes a table in memory of at least bytes(places), zeroed, aligned to 64 bytes.
    static SessionTable* create(void* memory, std::size_t places) noexcept;

    // Whether this still is what create() made for so many places, by this version of the layout. O(1).
    bool intact(std::size_t places) const noexcept {
        return mark_.load(std::memory_order_relaxed) == mark && sets_ == sets_for(places);
    }

    // How many sessions it can hold.
    std::size_t places() const noexcept { return sets_ * places_in_set; }

    // Where a session is; nothing if it is not in the table, or no longer alive. It is used now, unless somebody only
    // looks: that is written down once a second. May miss a session of which put() is just changing the worker or the
    // origin.
    //
    // O(1): about 70 instructions. A hit reads a cache line or two, a miss of a full set four.
    std::optional<Known> find(SessionKey key, std::uint32_t now, std::uint32_t idle, bool is_used = true) noexcept;

    // A session is on that worker, and is used now. True if from now on the table says that worker.
    //
    // A session that is alive is moved if the id was `given`, or if it was only `guessed` where it is. Otherwise it
    // stays where it is, so that of those who place an id at once all but one see that they came too late.
    //
    // In a full set the last of these makes room: sessions that are not alive; `guessed` ones by their last use; so
    // `placed` ones; so `given` ones. It may be the new one itself, which is then not stored: a flood of ids that
    // somebody made up drives out what was placed, and never what a worker gave. Nor is it stored where somebody else
    // is writing.
    //
    // O(1): about 360 instructions where another one must make room.
    bool put(SessionKey key, std::uint64_t worker, std::uint32_t now, std::uint32_t idle, Origin origin) noexcept;

    // A session that is alive is on another worker now; its origin stays what it was. True if from now on the table
    // says that worker. Costs what put() does.
    bool move(SessionKey key, std::uint64_t worker, std::uint32_t now, std::uint32_t idle) noexcept;

    // How many sessions were alive when they had to make room.
    std::uint64_t evicted() const noexcept { return losses_.evicted.load(std::memory_order_relaxed); }

    // How many were not stored, for want of room or because somebody else was writing.
    std::uint64_t dropped() const noexcept { return losses_.dropped.load(std::memory_order_relaxed); }

    // How many sessions are alive. Reads all of the table: milliseconds for a million places; for reports only.
    std::size_t held(std::uint32_t now, std::uint32_t idle) const noexcept;

    // Takes over counts, and the sessions that are alive, from a table that this one replaces, with other places; what
    // this one knows already stays. Sessions that do not fit count as evicted. One that is being written at that moment
    // may be left out, and so is what comes into the old table later. O(places of the old one).
    void inherit(const SessionTable& old, std::uint32_t now, std::uint32_t idle) noexcept;

private:
    static constexpr std::uint64_t mark = 0x6c627461626c6503ULL;  // "lbtable" and the version of the layout
    static constexpr std::size_t places_in_set = 8;

    struct Entry {
        SessionKey key;
        Found found;
        std::uint32_t last_use;
    };

    enum class Stored {
        yes,
        for_another,  // which was alive and had to go
        not_needed,   // the session is alive in the table
        no_room,
    };

    // An entry in half a cache line. A key has a place of its own in its set, and is looked for from there on; it
    // stands there unless others were there first. So of a table that is half full most look-ups read one line.
    class Place {
    public:
        // What it says of a key, alive or not; nothing if another key stands there.
        std::optional<Found> of(SessionKey key) const noexcept {
            if (high_.load(std::memory_order_relaxed) != key.high) return std::nullopt;
            const Found found{worker_.load(std::memory_order_relaxed), origin_.load(std::memory_order_relaxed)};
            if (bound_low_.load(std::memory_order_relaxed) != bind(key.low, found)) return std::nullopt;
            return found;
        }

        // Whether nothing ever stood here, and so nothing that is looked for from here on stands behind it.
        bool was_never_used() const noexcept {
            return high_.load(std::memory_order_relaxed) == 0 && last_use.load(std::memory_order_relaxed) == 0;
        }

        // What stands here. Where somebody is writing, it is nobody's session.
        Entry read() const noexcept;

        Origin origin() const noexcept { return origin_.load(std::memory_order_relaxed); }

        // For who has claimed the set.
        void write(const Entry& entry) noexcept;

        std::atomic<std::uint32_t> last_use;  // written by those who use it, too. 0: it is empty, or being written
        std::atomic<std::uint16_t> claimed;   // of the first place of a set: when; 0: nobody writes

    private:
        // The lower half of a key, combined with all else that a reader must not mix up.
        static std::uint64_t bind(std::uint64_t low, const Found& found) noexcept {
            return low ^ found.worker ^ static_cast<std::uint64_t>(found.origin);
        }

        std::atomic<Origin> origin_;
        std::atomic<std::uint64_t> high_;
        std::atomic<std::uint64_t> bound_low_;
        std::atomic<std::uint64_t> worker_;
    };
    static_assert(sizeof(Place) == 32);

    class alignas(64) Set {
    public:
        // Calls visit(place) for each place in which a key may stand, until it returns true.
        template <typename Visit>
        void each_place(SessionKey key, Visit&& visit) noexcept {
            for (std::size_t i = 0; i < places_in_set; ++i) {
                Place& place = places_[(key.high + i) % places_in_set];
                if (visit(place) || place.was_never_used()) return;
            }
        }

        std::array<Place, places_in_set>& places() noexcept { return places_; }
        const std::array<Place, places_in_set>& places() const noexcept { return places_; }

        // Begins to write. False if somebody else does.
        bool claim(std::uint32_t now) noexcept;

        // Stores an entry; one that is alive is changed only if it `moves`. For who has the claim.
        Stored store(const Entry& entry, bool moves, std::uint32_t now, std::uint32_t idle) noexcept;

        // Ends what claim() began, with the same `now`.
        void release(std::uint32_t now) noexcept;

    private:
        std::array<Place, places_in_set> places_;
    };
    static_assert(sizeof(Set) == 32 * places_in_set);

    static std::size_t sets_for(std::size_t places) noexcept {
        return places == 0 ? 1 : (places - 1) / places_in_set + 1;
    }

    Set* sets() noexcept { return reinterpret_cast<Set*>(this + 1); }
    const Set* sets() const noexcept { return reinterpret_cast<const Set*>(this + 1); }

    // Multiply and shift: even shares of the keys for any number of sets below 2^32.
    Set& set_of(SessionKey key) noexcept { return sets()[((key.low >> 32) * sets_) >> 32]; }

    bool put(SessionKey key, Found wanted, bool moves, std::uint32_t now, std::uint32_t idle) noexcept;

    // Claims the set and stores. Nothing if somebody else is writing there.
    std::optional<Stored> store(const Entry& entry, bool moves, std::uint32_t now, std::uint32_t idle) noexcept;

    std::atomic<std::uint64_t> mark_;
    std::uint64_t sets_;
    // Written apart from what every look-up reads.
    struct alignas(64) Losses {
        std::atomic<std::uint64_t> evicted;
        std::atomic<std::uint64_t> dropped;
    } losses_;
};

}  // namespace lbsticky
