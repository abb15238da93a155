#include "httpd/shared_memory.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>

#include "httpd/guard.hpp"
#include "httpd/provider.hpp"

extern "C" {
#include "apr_hash.h"
#include "apr_strings.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Where a balancer's state is. The new states of a start lie in one mapping, so that each takes only its own bytes, no
// whole pages. A mapping is given back when no state in it is used any more.
struct Place {
    SharedState* state;
    std::size_t slots;
    void* mapping;
    std::size_t mapping_size;  // in bytes
    bool was_unused;           // no balancer had this name at the last start
};

// What the parent remembers from one start to the next, by the balancer's name in shared memory: that is different for
// each virtual host and the same after a restart. It must outlive this module, which httpd unloads and loads again on
// each restart: so it is plain data in the memory of the process.
struct Places {
    apr_pool_t* pool;
    apr_hash_t* by_name;

    Place* find(const char* name) const noexcept {
        return static_cast<Place*>(apr_hash_get(by_name, name, APR_HASH_KEY_STRING));
    }

    void keep(const char* name, const Place& place) noexcept {
        apr_hash_set(by_name, apr_pstrdup(pool, name), APR_HASH_KEY_STRING, apr_pmemdup(pool, &place, sizeof(place)));
    }

    template <typename Visit>
    void for_each(Visit&& visit) const {
        for (apr_hash_index_t* i = apr_hash_first(nullptr, by_name); i; i = apr_hash_next(i))
            visit(static_cast<const char*>(apr_hash_this_key(i)), *static_cast<Place*>(apr_hash_this_val(i)));
    }
};

Places make_places(apr_pool_t* process) noexcept {
    Places places{};
    apr_pool_create(&places.pool, process);
    places.by_name = apr_hash_make(places.pool);
    return places;
}

Places& retained_places(apr_pool_t* process) noexcept {
    constexpr const char* key = "lbmethod_sticky: places 1";
    auto* places = static_cast<Places*>(ap_retained_data_get(key));
    if (!places) {
        places = static_cast<Places*>(ap_retained_data_create(key, sizeof(Places)));
        *places = make_places(process);
    }
    return *places;
}

std::size_t slots_of(const proxy_balancer& balancer) noexcept {
    return static_cast<std::size_t>(balancer.max_workers);
}

// Claims the slots of all workers of the balancer. False if another worker has one of these slots, or a slot besides:
// one that was added in balancer-manager and is gone, for example.
bool claim_all(SharedState& state, const proxy_balancer& balancer) {
    const apr_array_header_t* workers = balancer.workers;
    std::vector<bool> has_worker(slots_of(balancer));
    for (int i = 0; i < workers->nelts; ++i) {
        const proxy_worker_shared* worker = APR_ARRAY_IDX(workers, i, proxy_worker*)->s;
        const auto slot = static_cast<std::size_t>(worker->index);
        if (!state.claim(slot, url_of(*worker))) return false;
        has_worker[slot] = true;
    }
    for (std::size_t slot = 0; slot < has_worker.size(); ++slot)
        if (!has_worker[slot] && state.is_claimed(slot)) return false;
    return true;
}

// Makes states for the balancers that have none: for those of this method (for_ours), or for those of other methods.
// Throws std::runtime_error if there is no memory.
void make_states(std::span<proxy_balancer* const> balancers, std::span<SharedState*> states, bool for_ours,
                 const Places& old, Places& current) {
    const auto needs_state = [&](std::size_t i) { return !states[i] && is_ours(*balancers[i]) == for_ours; };
    std::size_t size = 0;
    for (std::size_t i = 0; i < balancers.size(); ++i)
        if (needs_state(i)) size += SharedState::bytes(slots_of(*balancers[i]));
    if (size == 0) return;

    void* mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::runtime_error(std::string("no shared memory: ") + std::strerror(errno));
    auto* next = static_cast<std::byte*>(mapping);
    for (std::size_t i = 0; i < balancers.size(); ++i) {
        if (!needs_state(i)) continue;
        const proxy_balancer& balancer = *balancers[i];
        const std::size_t slots = slots_of(balancer);
        states[i] = SharedState::create(next, slots);
        next += SharedState::bytes(slots);
        claim_all(*states[i], balancer);
        const Place* previous = old.find(balancer.s->sname);
        if (previous && previous->state->intact(previous->slots)) states[i]->inherit(*previous->state);
        current.keep(balancer.s->sname, {states[i], slots, mapping, size, false});
    }
}

// Unmaps the old mappings in which no place is any more. Children that still run keep theirs.
void unmap_unused(const Places& old, const Places& current) {
    std::set<void*> kept;
    current.for_each([&](const char*, const Place& place) { kept.insert(place.mapping); });
    old.for_each([&](const char*, const Place& place) {
        if (kept.insert(place.mapping).second) munmap(place.mapping, place.mapping_size);
    });
}

}  // namespace

std::vector<SharedState*> shared_states_for(std::span<proxy_balancer* const> balancers, server_rec* main_server) {
    Places& old = retained_places(main_server->process->pool);
    Places current = make_places(main_server->process->pool);
    std::vector<SharedState*> states(balancers.size());

    for (std::size_t i = 0; i < balancers.size(); ++i) {
        const proxy_balancer& balancer = *balancers[i];
        const Place* place = old.find(balancer.s->sname);
        if (!place || !place->state->intact(place->slots)) continue;
        if (place->slots != slots_of(balancer) || !claim_all(*place->state, balancer)) continue;
        states[i] = place->state;
        current.keep(balancer.s->sname, {place->state, place->slots, place->mapping, place->mapping_size, false});
    }
    make_states(balancers, states, true, old, current);
    guarded([&] { make_states(balancers, states, false, old, current); },
            [&](const char* why) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                             "balancers of other methods cannot have lbmethod=sticky before the next restart: %s", why);
            });
    static SharedState missing;
    for (SharedState*& state : states)
        if (!state) state = &missing;

    // Keeps the state of a balancer that was taken out for one more start: whoever puts it back then finds its counts.
    old.for_each([&](const char* name, const Place& place) {
        if (!place.was_unused && !current.find(name))
            current.keep(name, {place.state, place.slots, place.mapping, place.mapping_size, true});
    });
    unmap_unused(old, current);
    apr_pool_destroy(old.pool);
    old = current;
    return states;
}

}  // namespace lbsticky
