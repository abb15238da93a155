#include "httpd/learned_sessions.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "core/hash64.hpp"
#include "core/route_id.hpp"
#include "httpd/guard.hpp"
#include "store/entry.hpp"

extern "C" {
#include "apr_siphash.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// What is told of a session to others: the name without the parameter, which is another place for the same id.
std::string_view name_text(const SessionName& name) noexcept {
    return name.where == Where::cookie_or_url ? name.cookie : name.other;
}

// By what sessions are remembered.
std::string route_id_of(const proxy_worker& worker) {
    return route_id(url_of(*worker.s), worker.s->route);
}

// How often the store is told within a session's idle time that it is in use; it keeps it for that much longer.
constexpr std::uint32_t told_within_idle = 4;

void tell(server_rec* server, const std::string& balancer, const std::string& store, StoreEvent event,
          std::string_view reason) noexcept {
    const auto log = [&](int level, const char* what) {
        ap_log_error(APLOG_MARK, level, 0, server, "balancer://%s: the store %s %s%s%.*s", balancer.c_str(),
                     store.c_str(), what, reason.empty() ? "" : ": ", static_cast<int>(reason.size()), reason.data());
    };
    switch (event) {
        case StoreEvent::away:
            return log(APLOG_WARNING, "is away, and sessions are learned by this front end alone until it is back");
        case StoreEvent::back: return log(APLOG_NOTICE, "is back");
        case StoreEvent::full: return log(APLOG_WARNING, "takes no more sessions, but is asked for them");
        case StoreEvent::has_room: return log(APLOG_NOTICE, "takes sessions again");
    }
}

}  // namespace

std::uint32_t table_time() noexcept {
    return seconds(steady_now());
}

LearnedSessions::LearnedSessions(const LearnedMemory& memory, const TableSettings& settings,
                                 std::optional<StoreSettings> store, const HashKeys& keys, std::string balancer)
    : table_(*memory.table),
      shared_store_(*memory.store),
      idle_(static_cast<std::uint32_t>(settings.idle.count())),
      store_settings_(std::move(store)),
      keys_(keys),
      balancer_(std::move(balancer)) {}

void LearnedSessions::start(apr_pool_t* process, server_rec* server) {
    if (!store_settings_) return;
    StoreLimits limits;
    limits.timeout = store_settings_->timeout;
    store_ = std::make_unique<Store>(
        make_client(*store_settings_), limits, shared_store_.counts,
        [this, server, text = store_text(*store_settings_)](StoreEvent event, std::string_view reason) {
            tell(server, balancer_, text, event, reason);
        });
    apr_pool_cleanup_register(
        process, this,
        [](void* self) -> apr_status_t {
            static_cast<LearnedSessions*>(self)->store_->end();
            return APR_SUCCESS;
        },
        apr_pool_cleanup_null);
}

LearnedSessions::Id LearnedSessions::id_of(const SessionName& name, std::string_view text) const noexcept {
    // SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein, 2012) chooses the set: nobody can fill one on purpose. The name is
    // added, which moves all its ids alike. XXH3 makes it 128 bits, for a tenth of what a second SipHash would cost.
    const std::uint64_t low = apr_siphash24(text.data(), text.size(), keys_.sip.data()) + hash64(name_text(name));
    const std::uint64_t high = XXH3_64bits_withSecret(text.data(), text.size(), keys_.xxh3.data(), keys_.xxh3.size());
    return {&name, text, {high, low}};
}

bool LearnedSessions::is_due(std::uint32_t last_use, std::uint32_t now) noexcept {
    if (!store_) return false;
    // Hardly ever another one: then nothing is written that other threads read.
    const auto epoch = store_->epoch();
    if (epoch != epoch_.load(std::memory_order_relaxed) && epoch != epoch_.exchange(epoch, std::memory_order_relaxed))
        shared_store_.back_at.store(now, std::memory_order_relaxed);
    if (last_use <= shared_store_.back_at.load(std::memory_order_relaxed)) return true;
    const std::uint32_t part = std::max(idle_ / told_within_idle, 1U);
    return last_use / part != now / part;
}

std::optional<LearnedSessions::Recalled> LearnedSessions::recall(Claims& claims, bool is_used) noexcept {
    if (claims.sessions.empty() || claims.from->keeping != Keeping::learn) return std::nullopt;
    const std::uint32_t now = table_time();
    std::optional<Recalled> best;
    for (std::size_t i = 0; i < claims.sessions.size(); ++i) {
        Recalled recalled{id_of(*claims.from, claims.sessions[i]), std::nullopt};
        const auto known = table_.find(recalled.id.key, now, idle_, is_used);
        const bool is_given = known && known->origin == Origin::given;
        if (best && !is_given && (best->worker || !known)) continue;
        if (known) {
            recalled.worker = known->worker;
            recalled.is_due = is_due(known->last_use, now);
            recalled.is_guess = has_store() && known->origin == Origin::guessed;
        }
        best = recalled;
        if (is_given) break;
    }
    claims.learned = best->worker;
    return best;
}

void LearnedSessions::ask_store(Recalled& recalled, Claims& claims) noexcept {
    guarded(
        [&] {
            const auto value = store_->look_up(store_key_of(recalled.id));
            const auto entry = value ? read_entry(*value) : std::nullopt;
            if (!entry) return;
            claims.learned = recalled.worker = hash64(entry->route);
            recalled.is_guess = false;
            table_.put(recalled.id.key, *recalled.worker, table_time(), idle_, Origin::placed);
        },
        [](const char*) {});  // without memory it is as if the store knew nothing
}

void LearnedSessions::keep(const Recalled& recalled, const proxy_worker& worker) noexcept {
    guarded(
        [&] {
            const std::string text = route_id_of(worker);
            const std::uint64_t hash = hash64(text);
            const std::uint32_t now = table_time();
            bool is_kept = true;
            if (!recalled.worker)
                is_kept = table_.put(recalled.id.key, hash, now, idle_, has_store() ? Origin::guessed : Origin::placed);
            else if (*recalled.worker != hash)
                table_.move(recalled.id.key, hash, now, idle_);
            if (is_kept) put_into_store(recalled.id, text, !recalled.worker || recalled.is_guess);
        },
        [](const char*) {});  // without memory it is placed anew
}

void LearnedSessions::learn(const SessionName& name, std::string_view text, const proxy_worker& worker) noexcept {
    guarded(
        [&] {
            const std::uint32_t now = table_time();
            const Id id = id_of(name, text);
            const std::string route = route_id_of(worker);
            const std::uint64_t hash = hash64(route);
            const auto known = table_.find(id.key, now, idle_);
            const bool is_known = known && *known == SessionTable::Found{hash, Origin::given};
            if (!is_known) table_.put(id.key, hash, now, idle_, Origin::given);
            if (!is_known || is_due(known->last_use, now)) put_into_store(id, route, false);
        },
        [](const char*) {});  // without memory it is placed anew
}

void LearnedSessions::put_into_store(const Id& id, std::string_view route_id, bool only_if_absent) {
    if (!store_) return;
    const auto now = static_cast<std::uint64_t>(apr_time_sec(apr_time_now()));
    const auto text = entry_text({route_id, now});
    if (!text) return;
    const std::chrono::seconds life{idle_ + idle_ / told_within_idle + 1};
    store_->put(store_key_of(id), *text, life, only_if_absent);
}

std::string LearnedSessions::store_key_of(const Id& id) const {
    std::string name(name_text(*id.name));
    // Of a header the case is nothing that front ends need to agree on.
    if (id.name->where == Where::header) ap_str_tolower(name.data());
    return store_key(store_settings_->prefix, balancer_, name.append("=").append(id.text));
}

}  // namespace lbsticky
