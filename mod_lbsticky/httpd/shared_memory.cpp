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

// Where a balancer's state is. All states that one start needs anew lie in one mapping: a balancer costs no more than
// its own bytes. A mapping is given back when no state in it is used any more.
struct Place {
    SharedState* state;
    std::size_t slots;
    void* mapping;
    std::size_t mapped;  // bytes of the whole mapping
    bool missed;         // no balancer had this name at the last start
};

// What the parent remembers from one start to the next. It outlives this module, which httpd unloads and loads again on
// each restart: plain data in the memory of the process. By the balancer's name in shared memory, which is different
// for each virtual host and the same after a restart.
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

Places no_places(apr_pool_t* process) noexcept {
    Places places{};
    apr_pool_create(&places.pool, process);
    places.by_name = apr_hash_make(places.pool);
    return places;
}

Places& remembered(apr_pool_t* process) noexcept {
    constexpr const char* key = "lbmethod_sticky: places 1";
    auto* places = static_cast<Places*>(ap_retained_data_get(key));
    if (!places) {
        places = static_cast<Places*>(ap_retained_data_create(key, sizeof(Places)));
        *places = no_places(process);
    }
    return *places;
}

std::size_t slots_of(const proxy_balancer& balancer) noexcept {
    return static_cast<std::size_t>(balancer.max_workers);
}

// Whether the slots now belong to the balancer's workers, and to nobody else: not to one that was added in
// balancer-manager and is gone.
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

// Makes new states for those of the balancers that have none. Throws std::runtime_error if there is no memory.
void make_states(std::span<proxy_balancer* const> balancers, std::span<SharedState*> states, bool for_ours,
                 const Places& old, Places& now) {
    const auto is_meant = [&](std::size_t i) { return !states[i] && is_ours(*balancers[i]) == for_ours; };
    std::size_t size = 0;
    for (std::size_t i = 0; i < balancers.size(); ++i)
        if (is_meant(i)) size += SharedState::bytes(slots_of(*balancers[i]));
    if (size == 0) return;

    void* mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::runtime_error(std::string("no shared memory: ") + std::strerror(errno));
    auto* next = static_cast<std::byte*>(mapping);
    for (std::size_t i = 0; i < balancers.size(); ++i) {
        if (!is_meant(i)) continue;
        const proxy_balancer& balancer = *balancers[i];
        const std::size_t slots = slots_of(balancer);
        states[i] = SharedState::create(next, slots);
        next += SharedState::bytes(slots);
        claim_all(*states[i], balancer);
        const Place* before = old.find(balancer.s->sname);
        if (before && before->state->intact(before->slots)) states[i]->inherit(*before->state);
        now.keep(balancer.s->sname, {states[i], slots, mapping, size, false});
    }
}

// Unmaps what none of the places lies in. In this process: children that still run keep it.
void unmap_unused(const Places& old, const Places& now) {
    std::set<void*> kept;
    now.for_each([&](const char*, const Place& place) { kept.insert(place.mapping); });
    old.for_each([&](const char*, const Place& place) {
        if (kept.insert(place.mapping).second) munmap(place.mapping, place.mapped);
    });
}

}  // namespace

std::vector<SharedState*> shared_states_for(std::span<proxy_balancer* const> balancers, server_rec* main_server) {
    Places& old = remembered(main_server->process->pool);
    Places now = no_places(main_server->process->pool);
    std::vector<SharedState*> states(balancers.size());

    for (std::size_t i = 0; i < balancers.size(); ++i) {
        const proxy_balancer& balancer = *balancers[i];
        const Place* place = old.find(balancer.s->sname);
        if (!place || !place->state->intact(place->slots)) continue;
        if (place->slots != slots_of(balancer) || !claim_all(*place->state, balancer)) continue;
        states[i] = place->state;
        now.keep(balancer.s->sname, {place->state, place->slots, place->mapping, place->mapped, false});
    }
    make_states(balancers, states, true, old, now);
    guarded([&] { make_states(balancers, states, false, old, now); },
            [&](const char* why) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                             "balancers of other methods cannot have lbmethod=sticky before the next restart: %s", why);
            });
    static SharedState missing;
    for (SharedState*& state : states)
        if (!state) state = &missing;

    // Who takes a balancer out and puts it back with the next restart finds its counts.
    old.for_each([&](const char* name, const Place& place) {
        if (!place.missed && !now.find(name))
            now.keep(name, {place.state, place.slots, place.mapping, place.mapped, true});
    });
    unmap_unused(old, now);
    apr_pool_destroy(old.pool);
    old = now;
    return states;
}

}  // namespace lbsticky
