// LBSticky…: the directives, and what they say for one balancer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/session.hpp"
#include "core/set_cookie.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// The balancer's own cookie, as LBStickyCookie has it.
struct CookieSettings {
    enum class Given { where_needed, always, never };

    Given given = Given::where_needed;
    std::string name;  // empty: made from the balancer's name
    CookieAttributes attributes;

    // The name of the cookie that a balancer with these settings gives; empty if it gives none. Throws std::bad_alloc.
    std::string name_for(const proxy_balancer& balancer) const;
};

// Why a session's cookie is not found by a name with a `*`, and what to do; ends a sentence.
inline constexpr char no_wildcard[] =
    "a * stands for nothing here; for a cookie whose name changes, as classic ASP's ASPSESSIONID... does, use the "
    "balancer's own: LBStickyCookie NAME";

// What the directives of one <Proxy> section say; what is not set is empty. Views into the configuration's memory.
struct Settings {
    std::optional<std::vector<SessionName>> session_names;  // LBStickySession
    std::optional<bool> hash;                               // LBStickyHash
    std::optional<CookieSettings> cookie;                   // LBStickyCookie
    std::optional<std::vector<std::string>> secrets;        // LBStickySecretFile

    bool any() const noexcept { return session_names || hash || cookie || secrets; }

    // These settings, with those that `over` has in their place.
    Settings merged_with(const Settings& over) const;

    bool hash_or_default() const noexcept { return hash.value_or(true); }
};

extern const command_rec directives[];

// For the module record: Settings as per-directory configuration. There is nothing that merges two for a request: what
// holds for a balancer is found out once, by settings_for().
void* create_settings(apr_pool_t* pool, char* path) noexcept;

// The settings in a section's configuration; httpd makes none where no directive of this module stands.
const Settings& settings_in(ap_conf_vector_t* section) noexcept;

// What holds for a balancer, of all sections of a server that name it, exactly or by a wildcard; later ones win.
// Throws std::bad_alloc.
Settings settings_for(const proxy_balancer& balancer, const proxy_server_conf& configuration);

// Whether a section of mod_proxy's is <Proxy "balancer://…">, and for this balancer.
bool section_names(ap_conf_vector_t* section, const proxy_balancer& balancer) noexcept;

}  // namespace lbsticky
