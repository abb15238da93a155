#include "httpd/shared_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
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

// Where a balancer's memory is.
struct Place {
    SharedState* state;
    std::size_t slots;
    bool is_copy;           // another balancer has the same activities
    Activity** activities;  // one a slot
    bool was_unused;        // no balancer had this name at the last start

    std::span<Activity* const> all() const noexcept { return {activities, slots}; }
};

// What one start needed anew. It is given back when nothing in it is used any more.
struct Mapping {
    std::byte* start;
    std::size_t size;

    bool holds(const void* address) const noexcept {
        return std::less_equal<const void*>{}(start, address) && std::less<const void*>{}(address, start + size);
    }
};

// What the parent remembers from one start to the next, by the balancer's name in shared memory: that is different for
// each virtual host and the same after a restart. It must outlive this module, which httpd unloads and loads again on
// each restart: so it is plain data in the memory of the process.
struct Places {
    apr_pool_t* pool;
    apr_hash_t* by_name;
    apr_array_header_t* mappings;

    Place* find(const char* name) const noexcept {
        return static_cast<Place*>(apr_hash_get(by_name, name, APR_HASH_KEY_STRING));
    }

    // A copy of the place, which has activities of its own.
    void keep(const char* name, const Place& place) noexcept {
        auto* kept = static_cast<Place*>(apr_pmemdup(pool, &place, sizeof(place)));
        kept->activities = static_cast<Activity**>(apr_pmemdup(pool, place.activities, place.all().size_bytes()));
        apr_hash_set(by_name, apr_pstrdup(pool, name), APR_HASH_KEY_STRING, kept);
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
    places.mappings = apr_array_make(places.pool, 4, sizeof(Mapping));
    return places;
}

struct Remembered {
    Places places;
    Processes* processes;
    SessionKey key;
};

// The number changes with the layout of anything that is remembered or shared: a graceful restart may load another
// version of this module.
constexpr const char* remembered_key = "lbmethod_sticky: memory 4";

// Zeros, shared with the children to come. Throws std::runtime_error.
void* map_memory(std::size_t size) {
    void* mapping = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::runtime_error(std::string("no shared memory: ") + std::strerror(errno));
    return mapping;
}

// As many columns as httpd may have children, and some for those that have ended and were not reaped yet; with what
// stands before them they fill cache lines. The number is that of the first start: ServerLimit does not change with a
// graceful restart.
Processes* make_processes() {
    int children = 0;
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &children);
    constexpr int extra = 15;
    constexpr int line = 32;  // cells
    const int columns = std::clamp((children + extra + line) / line * line, line, 65504) - 1;
    const auto number = static_cast<std::uint16_t>(columns);
    return Processes::create(map_memory(Processes::bytes(number)), number);
}

Remembered& remembered(apr_pool_t* process) {
    auto* known = static_cast<Remembered*>(ap_retained_data_get(remembered_key));
    if (!known) {
        Processes* processes = make_processes();
        known = static_cast<Remembered*>(ap_retained_data_create(remembered_key, sizeof(Remembered)));
        *known = {make_places(process), processes, {}};
        if (apr_generate_random_bytes(known->key.data(), known->key.size()) != APR_SUCCESS)
            throw std::runtime_error("no random bytes");
    }
    return *known;
}

// Forgets processes that ended while this module was not loaded.
void forget_ended(const Processes& processes) noexcept {
    for (std::uint16_t column = 0; column < processes.columns(); ++column) {
        const auto owner = static_cast<pid_t>(processes.owner(column));
        if (owner != 0 && kill(owner, 0) != 0 && errno == ESRCH) forget_process(column);
    }
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

// What is being found or made for the balancers of a new configuration.
struct Plan {
    proxy_balancer* balancer;
    SharedState* state = nullptr;
    std::vector<Activity*>* activities;  // those of its workers, of copies the same
};

// The activities of a balancer's slots: those that its workers had before, and for slots without a worker those that
// nobody had. Null where there is none yet. None that is taken: copies of a balancer may have become balancers of their
// own.
std::vector<Activity*> activities_before(const proxy_balancer& balancer, const Place& before,
                                         std::set<const Activity*>& taken) {
    std::map<std::uint64_t, Activity*> by_owner;
    std::vector<Activity*> free;
    for (Activity* activity : before.all()) {
        if (!activity || !taken.insert(activity).second) continue;
        if (activity->owner() == 0)
            free.push_back(activity);
        else
            by_owner.emplace(activity->owner(), activity);
    }
    std::vector<Activity*> found(slots_of(balancer));
    for (int i = 0; i < balancer.workers->nelts; ++i) {
        const proxy_worker_shared* worker = APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s;
        const auto known = by_owner.find(Activity::owner_of(url_of(*worker)));
        if (known != by_owner.end()) found[static_cast<std::size_t>(worker->index)] = known->second;
    }
    for (Activity*& activity : found) {
        if (activity || free.empty()) continue;
        activity = free.back();
        free.pop_back();
    }
    return found;
}

// Makes what those of the balancers lack. Throws std::runtime_error if there is no memory.
void make_missing(std::span<Plan> plans, bool for_ours, const Remembered& before, Places& current) {
    const std::size_t activity_size = Activity::bytes(before.processes->columns());
    const auto for_each_meant = [&](auto&& visit) {
        for (Plan& plan : plans)
            if (is_ours(*plan.balancer) == for_ours) visit(plan);
    };

    std::size_t size = 0;
    std::set<const void*> counted;
    for_each_meant([&](const Plan& plan) {
        if (!plan.state) size += SharedState::bytes(slots_of(*plan.balancer));
        if (!counted.insert(plan.activities).second) return;
        const auto missing = std::count(plan.activities->begin(), plan.activities->end(), nullptr);
        size += static_cast<std::size_t>(missing) * activity_size;
    });
    if (size == 0) return;

    auto* next = static_cast<std::byte*>(map_memory(size));
    APR_ARRAY_PUSH(current.mappings, Mapping) = {next, size};
    for_each_meant([&](Plan& plan) {
        for (Activity*& activity : *plan.activities) {
            if (activity) continue;
            activity = reinterpret_cast<Activity*>(next);
            next += activity_size;
        }
        if (plan.state) return;
        const std::size_t slots = slots_of(*plan.balancer);
        plan.state = SharedState::create(next, slots);
        next += SharedState::bytes(slots);
        claim_all(*plan.state, *plan.balancer);
        const Place* old = before.places.find(plan.balancer->s->sname);
        if (old && old->state->intact(old->slots)) plan.state->inherit(*old->state);
    });
}

// Unmaps what nothing is used of any more. In this process: children that still run keep it.
void unmap_unused(const Places& old, Places& current) {
    for (int i = 0; i < old.mappings->nelts; ++i) {
        const Mapping& mapping = APR_ARRAY_IDX(old.mappings, i, Mapping);
        bool used = false;
        current.for_each([&](const char*, const Place& place) {
            used = used || mapping.holds(place.state) ||
                   std::any_of(place.all().begin(), place.all().end(),
                               [&](const Activity* activity) { return mapping.holds(activity); });
        });
        if (used)
            APR_ARRAY_PUSH(current.mappings, Mapping) = mapping;
        else
            munmap(mapping.start, mapping.size);
    }
}

}  // namespace

std::vector<SharedMemory> shared_memory_for(std::span<proxy_balancer* const> balancers, server_rec* main_server) {
    Remembered& before = remembered(main_server->process->pool);
    forget_ended(*before.processes);
    const Places& old = before.places;
    Places current = make_places(main_server->process->pool);

    std::vector<Plan> plans;
    std::map<const apr_array_header_t*, std::vector<Activity*>> activities;  // by the workers, which copies share
    std::set<const Activity*> taken;
    for (proxy_balancer* balancer : balancers) {
        Plan& plan = plans.emplace_back(Plan{balancer, nullptr, &activities[balancer->workers]});
        const Place* place = old.find(balancer->s->sname);
        if (place && plan.activities->empty()) *plan.activities = activities_before(*balancer, *place, taken);
        if (!place || !place->state->intact(place->slots) || place->slots != slots_of(*balancer)) continue;
        if (claim_all(*place->state, *balancer)) plan.state = place->state;
    }
    for (const Plan& plan : plans) plan.activities->resize(std::max(plan.activities->size(), slots_of(*plan.balancer)));
    make_missing(plans, true, before, current);
    guarded([&] { make_missing(plans, false, before, current); },
            [&](const char* why) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                             "balancers of other methods cannot have lbmethod=sticky before the next restart: %s", why);
            });

    std::vector<SharedMemory> memory;
    std::set<const void*> kept;
    for (const Plan& plan : plans) {
        static SharedState missing;
        if (!plan.state) {
            memory.push_back({&missing, {}, &before.key});
            continue;
        }
        const char* name = plan.balancer->s->sname;
        const bool is_copy = !kept.insert(plan.activities).second;
        current.keep(name, {plan.state, slots_of(*plan.balancer), is_copy, plan.activities->data(), false});
        memory.push_back({plan.state, current.find(name)->all(), &before.key});
    }

    // Keeps the state of a balancer that was taken out for one more start: whoever puts it back then finds its counts.
    old.for_each([&](const char* name, const Place& place) {
        if (!place.was_unused && !current.find(name))
            current.keep(name, {place.state, place.slots, place.is_copy, place.activities, true});
    });
    unmap_unused(old, current);
    apr_pool_destroy(old.pool);
    before.places = current;
    return memory;
}

Processes* processes() noexcept {
    auto* known = static_cast<Remembered*>(ap_retained_data_get(remembered_key));
    return known ? known->processes : nullptr;
}

void forget_process(std::uint16_t column) noexcept {
    auto* known = static_cast<Remembered*>(ap_retained_data_get(remembered_key));
    if (!known) return;
    known->places.for_each([column](const char*, const Place& place) {
        if (place.is_copy) return;
        for (Activity* activity : place.all())
            if (activity) activity->clear(column);
    });
    known->processes->release(column);
}

}  // namespace lbsticky
