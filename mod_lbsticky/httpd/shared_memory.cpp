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
    WorkerTally** tallies;  // likewise; and behind them those of workers that are gone
    std::size_t tallies_gone;
    LearnedMemory learned;
    bool was_unused;  // no balancer had this name at the last start

    std::span<Activity* const> all() const noexcept { return {activities, slots}; }
    std::span<WorkerTally* const> all_tallies() const noexcept { return {tallies, slots + tallies_gone}; }
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

    // A copy of the place, with its lists.
    void keep(const char* name, const Place& place) noexcept {
        auto* kept = static_cast<Place*>(apr_pmemdup(pool, &place, sizeof(place)));
        kept->activities = static_cast<Activity**>(apr_pmemdup(pool, place.activities, place.all().size_bytes()));
        kept->tallies = static_cast<WorkerTally**>(apr_pmemdup(pool, place.tallies, place.all_tallies().size_bytes()));
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
    HashKeys keys;
};

// The number changes with the layout of anything that is remembered or shared: a graceful restart may load another
// version of this module.
constexpr const char* remembered_key = "lbmethod_sticky: memory 6";

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
        if (apr_generate_random_bytes(reinterpret_cast<unsigned char*>(&known->keys), sizeof(HashKeys)) != APR_SUCCESS)
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

// Calls visit(slot, URL) for each worker of the balancer.
template <typename Visit>
void for_each_worker(const proxy_balancer& balancer, Visit&& visit) {
    for (int i = 0; i < balancer.workers->nelts; ++i) {
        const proxy_worker_shared* worker = APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s;
        visit(static_cast<std::size_t>(worker->index), url_of(*worker));
    }
}

// What a list of workers has, which copies of a balancer share.
struct OfWorkers {
    std::vector<Activity*> activities;
    std::optional<TableSettings> table;
    LearnedMemory learned;
};

// What is being found or made for the balancers of a new configuration.
struct Plan {
    proxy_balancer* balancer;
    OfWorkers* shared;
    SharedState* state = nullptr;
    std::vector<WorkerTally*> tallies;
};

std::size_t learned_bytes(std::size_t places) noexcept {
    return sizeof(SharedStore) + SessionTable::bytes(places);
}

// The learned sessions of a balancer that has them already, with as many places, and nobody else has taken; else
// nothing.
LearnedMemory learned_before(const Place& before, const TableSettings& wanted, std::set<const void*>& taken) {
    const LearnedMemory& learned = before.learned;
    const bool fits = learned.table && learned.places == wanted.sessions && learned.table->intact(learned.places);
    return fits && taken.insert(learned.table).second ? learned : LearnedMemory{};
}

// Makes them in memory of zeros; what the balancer knew before is taken over.
LearnedMemory make_learned(std::byte* memory, const TableSettings& settings, const Place* before) noexcept {
    LearnedMemory made;
    made.store = reinterpret_cast<SharedStore*>(memory);
    made.places = settings.sessions;
    made.table = SessionTable::create(memory + sizeof(SharedStore), made.places);
    if (before && before->learned.table && before->learned.table->intact(before->learned.places))
        made.table->inherit(*before->learned.table, table_time(), static_cast<std::uint32_t>(settings.idle.count()));
    return made;
}

Owner& owner_of(Activity& activity) noexcept {
    return activity.owner();
}
Owner& owner_of(WorkerTally& tally) noexcept {
    return tally.owner;
}

// Of what a balancer's slots had before, an activity or a tally each: by its slots now, what their workers had, and for
// others what nobody had. Null where there is none yet. What other workers had is added to `left`.
template <typename Kept>
std::vector<Kept*> kept_for(const proxy_balancer& balancer, std::span<Kept* const> before, std::vector<Kept*>& left) {
    std::multimap<std::uint64_t, Kept*> by_owner;
    std::vector<Kept*> free;
    for (Kept* kept : before) {
        if (!kept) continue;
        if (const std::uint64_t owner = owner_of(*kept).number())
            by_owner.emplace(owner, kept);
        else
            free.push_back(kept);
    }
    std::vector<Kept*> found(slots_of(balancer));
    for_each_worker(balancer, [&](std::size_t slot, std::string_view url) {
        if (const auto known = by_owner.extract(Owner::number_of(url))) found[slot] = known.mapped();
    });
    for (Kept*& kept : found) {
        if (kept || free.empty()) continue;
        kept = free.back();
        free.pop_back();
    }
    for (const auto& [owner, kept] : by_owner) left.push_back(kept);
    return found;
}

// The activities of a balancer's slots. None that is taken: copies of a balancer may have become balancers of their
// own.
std::vector<Activity*> activities_before(const proxy_balancer& balancer, const Place& before,
                                         std::set<const Activity*>& taken) {
    std::vector<Activity*> free;
    for (Activity* activity : before.all())
        if (activity && taken.insert(activity).second) free.push_back(activity);
    std::vector<Activity*> of_nobody;
    return kept_for<Activity>(balancer, free, of_nobody);
}

// The tallies of a balancer's slots, and behind them those of workers that are gone, in which children of a generation
// before may still count. The oldest of very many are added up in the state.
std::vector<WorkerTally*> tallies_before(const proxy_balancer& balancer, const Place& before) {
    constexpr std::size_t many = 256;
    const auto all = before.all_tallies();
    std::vector<WorkerTally*> gone(all.begin() + static_cast<std::ptrdiff_t>(before.slots), all.end());
    std::vector<WorkerTally*> tallies = kept_for<WorkerTally>(balancer, all.first(before.slots), gone);
    const std::size_t too_many = gone.size() - std::min(gone.size(), many);
    for (std::size_t i = 0; i < too_many; ++i) before.state->gone.add(*gone[i]);
    tallies.insert(tallies.end(), gone.begin() + static_cast<std::ptrdiff_t>(too_many), gone.end());
    return tallies;
}

// Makes what those of the balancers lack. Throws std::runtime_error if there is no memory.
void make_missing(std::span<Plan> plans, bool for_ours, const Remembered& before, Places& current) {
    const std::size_t activity_size = Activity::bytes(before.processes->columns());
    const auto missing_in = [](const auto& list) {
        return static_cast<std::size_t>(std::count(list.begin(), list.end(), nullptr));
    };
    const auto for_each_meant = [&](auto&& visit) {
        for (Plan& plan : plans)
            if (is_ours(*plan.balancer) == for_ours) visit(plan);
    };

    std::size_t size = 0;
    std::set<const void*> counted;
    for_each_meant([&](const Plan& plan) {
        if (!plan.state) size += sizeof(SharedState);
        size += missing_in(plan.tallies) * sizeof(WorkerTally);
        if (!counted.insert(plan.shared).second) return;
        size += missing_in(plan.shared->activities) * activity_size;
        if (plan.shared->table && !plan.shared->learned.table) size += learned_bytes(plan.shared->table->sessions);
    });
    if (size == 0) return;

    auto* next = static_cast<std::byte*>(map_memory(size));
    APR_ARRAY_PUSH(current.mappings, Mapping) = {next, size};
    const auto make_missing_in = [&next](auto& list, std::size_t bytes) {
        for (auto& kept : list) {
            if (kept) continue;
            kept = reinterpret_cast<std::remove_reference_t<decltype(kept)>>(next);
            next += bytes;
        }
    };
    for_each_meant([&](Plan& plan) {
        const Place* old = before.places.find(plan.balancer->s->sname);
        OfWorkers& shared = *plan.shared;
        make_missing_in(shared.activities, activity_size);
        make_missing_in(plan.tallies, sizeof(WorkerTally));
        if (shared.table && !shared.learned.table) {
            shared.learned = make_learned(next, *shared.table, old);
            next += learned_bytes(shared.table->sessions);
        }
        if (plan.state) return;
        plan.state = SharedState::create(next);
        next += sizeof(SharedState);
    });
}

// Unmaps what nothing is used of any more. In this process: children that still run keep it.
void unmap_unused(const Places& old, Places& current) {
    for (int i = 0; i < old.mappings->nelts; ++i) {
        const Mapping& mapping = APR_ARRAY_IDX(old.mappings, i, Mapping);
        bool used = false;
        current.for_each([&](const char*, const Place& place) {
            const auto holds_any = [&mapping](const auto& list) {
                return std::any_of(list.begin(), list.end(), [&](const auto* kept) { return mapping.holds(kept); });
            };
            used = used || mapping.holds(place.state) || mapping.holds(place.learned.table) || holds_any(place.all()) ||
                   holds_any(place.all_tallies());
        });
        if (used)
            APR_ARRAY_PUSH(current.mappings, Mapping) = mapping;
        else
            munmap(mapping.start, mapping.size);
    }
}

}  // namespace

std::vector<SharedMemory> shared_memory_for(std::span<const NewBalancer> balancers, server_rec* main_server) {
    Remembered& before = remembered(main_server->process->pool);
    forget_ended(*before.processes);
    const Places& old = before.places;
    Places current = make_places(main_server->process->pool);

    std::vector<Plan> plans;
    std::map<const apr_array_header_t*, OfWorkers> by_workers;
    std::set<const Activity*> taken;
    std::set<const void*> taken_tables;
    for (const auto& [balancer, table] : balancers) {
        OfWorkers& shared = by_workers[balancer->workers];
        Plan& plan = plans.emplace_back(Plan{balancer, &shared, nullptr, {}});
        if (!shared.table) shared.table = table;
        const Place* place = old.find(balancer->s->sname);
        if (place && shared.activities.empty()) shared.activities = activities_before(*balancer, *place, taken);
        if (place && shared.table && !shared.learned.table)
            shared.learned = learned_before(*place, *shared.table, taken_tables);
        if (place && place->state->intact()) {
            plan.state = place->state;
            plan.tallies = tallies_before(*balancer, *place);
        }
    }
    for (Plan& plan : plans) {
        const auto with_slots = [&plan](auto& list) { list.resize(std::max(list.size(), slots_of(*plan.balancer))); };
        with_slots(plan.shared->activities);
        with_slots(plan.tallies);
    }
    make_missing(plans, true, before, current);
    guarded([&] { make_missing(plans, false, before, current); },
            [&](const char* why) {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                             "balancers of other methods cannot have lbmethod=sticky before the next restart: %s", why);
            });

    std::vector<SharedMemory> memory;
    std::set<const void*> kept;
    for (Plan& plan : plans) {
        static SharedState missing;
        if (!plan.state) {
            memory.push_back({&missing, {}, {}, {}, &before.keys});
            continue;
        }
        for_each_worker(*plan.balancer, [&plan](std::size_t slot, std::string_view url) {
            if (plan.tallies[slot]) plan.tallies[slot]->owner.claim(url);
        });
        const char* name = plan.balancer->s->sname;
        const bool is_copy = !kept.insert(plan.shared).second;
        const std::size_t slots = slots_of(*plan.balancer);
        current.keep(name, {plan.state, slots, is_copy, plan.shared->activities.data(), plan.tallies.data(),
                            plan.tallies.size() - slots, plan.shared->learned, false});
        const Place& place = *current.find(name);
        memory.push_back({plan.state, place.all_tallies(), place.all(), plan.shared->learned, &before.keys});
    }

    // Keeps the state of a balancer that was taken out for one more start: whoever puts it back then finds its counts.
    old.for_each([&](const char* name, const Place& place) {
        if (!place.was_unused && !current.find(name)) {
            Place unused = place;
            unused.was_unused = true;
            current.keep(name, unused);
        }
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
