// The LBSticky… directives, and the settings of one balancer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/drain.hpp"
#include "core/placement.hpp"
#include "core/session_name.hpp"
#include "core/set_cookie.hpp"
#include "httpd/apache.hpp"
#include "httpd/learned_sessions.hpp"
#include "store/address.hpp"

namespace lbsticky {

// LBStickyCookie: the balancer's own cookie.
struct CookieSettings {
    enum class Given { where_needed, always, never };

    Given given = Given::where_needed;
    std::string name;  // empty: made from the balancer's name
    CookieAttributes attributes;

    // The name of the cookie that a balancer with these settings gives; empty if it gives none. Throws std::bad_alloc.
    std::string name_for(const proxy_balancer& balancer) const;
};

// LBStickyDrain: what draining means.
struct DrainSettings {
    Drain drain;
    std::string header;  // by which members are told over HTTP; empty: they are not
};

// Says that a `*` in the name of a session's cookie is no wildcard, and what to do. The end of a sentence.
inline constexpr char no_wildcard[] =
    "a * stands for nothing here; for a cookie whose name changes, as classic ASP's ASPSESSIONID... does, use the "
    "balancer's own: LBStickyCookie NAME";

// The directives of one <Proxy> section; those that are not set are empty. Has views into the configuration's memory.
struct Settings {
    std::optional<std::vector<SessionName>> session_names;  // LBStickySession
    std::optional<bool> hash;                               // LBStickyHash
    std::optional<CookieSettings> cookie;                   // LBStickyCookie
    std::optional<std::vector<std::string>> secrets;        // LBStickySecretFile
    std::optional<Placement> placement;                     // LBStickyPlace
    std::optional<Limits> limits;                           // LBStickyLimit
    std::optional<TableSettings> table;                     // LBStickyTable
    std::optional<StoreSettings> store;                     // LBStickyStore
    std::optional<SlowStart> slow_start;                    // LBStickySlowStart
    std::optional<DrainSettings> drain;                     // LBStickyDrain

    bool any() const noexcept {
        return session_names || hash || cookie || secrets || placement || limits || table || store || slow_start ||
               drain;
    }

    // These settings, replaced by those that `over` has.
    Settings merged_with(const Settings& over) const;

    // Whether there is a line of LBStickySession with that.
    bool has_line(Keeping keeping) const noexcept;

    // The table of learned sessions; nothing if none are learned.
    std::optional<TableSettings> table_if_needed() const noexcept {
        if (!has_line(Keeping::learn)) return std::nullopt;
        return table.value_or(TableSettings{});
    }

    bool hash_or_default() const noexcept { return hash.value_or(true); }
    Placement placement_or_default() const noexcept { return placement.value_or(Placement::rotation); }
    Limits limits_or_default() const noexcept { return limits.value_or(Limits{}); }
};

extern const command_rec directives[];

// For the module record: makes the Settings of a section, as per-directory configuration. The module record has no
// function that merges two for a request: settings_for() merges them once for each balancer.
void* create_settings(apr_pool_t* pool, char* path) noexcept;

// The settings in a section's configuration; empty ones if it has no directive of this module.
const Settings& settings_in(ap_conf_vector_t* section) noexcept;

// The settings of a balancer: those of all sections of the server that name it, exactly or by a wildcard; later
// sections win. Throws std::bad_alloc.
Settings settings_for(const proxy_balancer& balancer, const proxy_server_conf& configuration);

// Whether a section of mod_proxy's is a <Proxy "balancer://…"> for this balancer.
bool section_names(ap_conf_vector_t* section, const proxy_balancer& balancer) noexcept;

}  // namespace lbsticky
