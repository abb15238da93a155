#include "httpd/shared_memory.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include "apr_hash.h"
#include "apr_shm.h"
#include "apr_strings.h"
}

namespace lbsticky {
namespace {

// A segment as the parent remembers it. It outlives this module, which httpd unloads and loads again on each restart:
// plain data in the memory of the process.
struct Segment {
    apr_shm_t* memory;
    SharedState* state;
    std::size_t slots;
};

// Segments by the balancer's name in shared memory, which is different for each virtual host and the same after a
// restart.
apr_hash_t* segments(apr_pool_t* process) noexcept {
    constexpr const char* key = "lbmethod_sticky: segments 1";
    auto* hash = static_cast<apr_hash_t**>(ap_retained_data_get(key));
    if (!hash) {
        hash = static_cast<apr_hash_t**>(ap_retained_data_create(key, sizeof(apr_hash_t*)));
        *hash = apr_hash_make(process);
    }
    return *hash;
}

Segment* create(std::size_t slots, apr_pool_t* process) {
    const std::size_t size = SharedState::bytes(slots);
    std::size_t space = size + alignof(SharedState);
    auto* segment = static_cast<Segment*>(apr_pcalloc(process, sizeof(Segment)));
    const apr_status_t status = apr_shm_create(&segment->memory, space, nullptr, process);
    if (status != APR_SUCCESS) {
        char reason[128];
        throw std::runtime_error(std::string("no shared memory: ") + apr_strerror(status, reason, sizeof(reason)));
    }
    void* start = apr_shm_baseaddr_get(segment->memory);
    segment->state = SharedState::create(std::align(alignof(SharedState), size, start, space), slots);
    segment->slots = slots;
    return segment;
}

// Whether the slots now belong to the balancer's workers, and to nobody else: not to one that was added in
// balancer-manager and is gone.
bool claim_all(SharedState& state, const proxy_balancer& balancer) {
    const apr_array_header_t* workers = balancer.workers;
    std::vector<bool> has_worker(static_cast<std::size_t>(balancer.max_workers));
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

}  // namespace

SharedState& shared_state_for(const proxy_balancer& balancer, server_rec* server) {
    apr_pool_t* process = server->process->pool;
    apr_hash_t* known = segments(process);
    const auto slots = static_cast<std::size_t>(balancer.max_workers);

    auto* old = static_cast<Segment*>(apr_hash_get(known, balancer.s->sname, APR_HASH_KEY_STRING));
    const bool usable = old && old->state->intact(old->slots);
    if (usable && old->slots == slots && claim_all(*old->state, balancer)) return *old->state;

    Segment* segment = create(slots, process);
    claim_all(*segment->state, balancer);
    if (usable) segment->state->inherit(*old->state);
    if (old) apr_shm_destroy(old->memory);  // in this process: children that still run keep it
    apr_hash_set(known, apr_pstrdup(process, balancer.s->sname), APR_HASH_KEY_STRING, segment);
    return *segment->state;
}

}  // namespace lbsticky
