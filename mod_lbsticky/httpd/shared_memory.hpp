// The memory that processes share. It stays the same over graceful restarts.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "core/activity.hpp"
#include "core/processes.hpp"
#include "core/shared_state.hpp"
#include "httpd/apache.hpp"
#include "httpd/learned_sessions.hpp"

namespace lbsticky {

// Random bytes by which sessions are hashed. Nobody outside knows them.
struct HashKeys {
    // For those that are counted: so nobody can make a few session ids that count as millions. XXH3 calls it its
    // secret: 136 bytes at least.
    std::array<unsigned char, 192> counted;
    LearnedSessions::HashKeys learned;
};

// A balancer of a new configuration.
struct NewBalancer {
    proxy_balancer* httpds;
    std::optional<TableSettings> table;  // none: it learns no sessions
};

// What processes share about one balancer.
struct SharedMemory {
    SharedState* state;
    // By the slots that httpd has for its workers, and behind them those of workers that are gone. Null where there is
    // no memory.
    std::span<WorkerTally* const> tallies;
    // By the slots that httpd has for its workers, those of workers that may be added included; null where there is no
    // memory. Copies of a balancer, which have its workers, have its activities too.
    std::span<Activity* const> activities;
    LearnedMemory learned;  // of copies the same, with as many places as the first of them has
    const HashKeys* keys;
};

// What is counted about a worker, of these tallies; null where there is no memory.
inline WorkerTally* tally_of(const proxy_worker& worker, std::span<WorkerTally* const> tallies) noexcept {
    const auto slot = static_cast<std::size_t>(worker.s->index);
    return slot < tallies.size() ? tallies[slot] : nullptr;
}

// The shared memory of all balancers of a new configuration, in their order. Each has the state that it had before a
// graceful restart, so that both generations of children use the same. A worker's tally and activity stay with it as
// long as the balancer has a worker of that URL, whatever slot it has; learned sessions stay as long as the balancer
// learns any. Tallies of workers that are gone are kept too, since children may be serving their last requests; the
// oldest of very many are added up. Memory that no balancer uses any more is given back.
//
// A balancer of another method has memory too, since its method can be changed in balancer-manager when there are
// children, which could not share new memory. Where there is none for those, their states are not intact(), and a
// warning says so; where there is none for the others, throws std::runtime_error. Throws std::bad_alloc.
//
// For the post_config hook: the parent is single-threaded, and its children inherit what it maps.
std::vector<SharedMemory> shared_memory_for(std::span<const NewBalancer> balancers, server_rec* main_server);

// The processes that count requests in flight. Null before the first start has come as far as shared_memory_for().
Processes* processes() noexcept;

// Clears what the process with that column counted, in every activity there is, and gives the column away. For the
// parent, when that process has ended.
void forget_process(std::uint16_t column) noexcept;

}  // namespace lbsticky
