#include "httpd/inheritance.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

extern "C" {
#include "apr_strings.h"
#include "util_cfgtree.h"
}

namespace lbsticky {
namespace {

bool has_name(const ap_directive_t& directive, const char* name) noexcept {
    return ap_cstr_casecmp(directive.directive, name) == 0;
}

// The <VirtualHost> section of a virtual host, among these directives and those inside of them; null if there is none.
// File names are compared by address: httpd makes a new string each time it reads a file or uses a macro.
const ap_directive_t* section_of(const server_rec& host, const ap_directive_t* directives) noexcept {
    for (const ap_directive_t* directive = directives; directive; directive = directive->next) {
        if (directive->filename == host.defn_name &&
            static_cast<unsigned>(directive->line_num) == host.defn_line_number && has_name(*directive, "<VirtualHost"))
            return directive;
        if (const ap_directive_t* inside = section_of(host, directive->first_child)) return inside;
    }
    return nullptr;
}

// Whether a word is the balancer's URL, as httpd reads it: in any case, and up to the first slash behind the name or
// the `>` of <Proxy>.
bool is_url_of(const proxy_balancer& balancer, std::string_view word) noexcept {
    constexpr std::size_t prefix = sizeof(BALANCER_PREFIX) - 1;
    word = word.substr(0, word.find_first_of("/>", prefix));
    const std::string_view name = balancer.s->name;
    return word.size() == name.size() && ap_cstr_casecmpn(word.data(), name.data(), name.size()) == 0;
}

// Whether a directive has lbmethod= for the balancer, behind the balancer's URL. In ProxySet the URL may be that of the
// section around it.
bool names_method(const ap_directive_t& directive, const proxy_balancer& balancer, apr_pool_t* temporary) noexcept {
    constexpr const char* with_parameters[] = {"ProxyPass", "ProxyPassMatch", "ProxySet", "<Proxy"};
    if (std::none_of(std::begin(with_parameters), std::end(with_parameters),
                     [&](const char* name) { return has_name(directive, name); }))
        return false;
    bool is_for_balancer = false;
    const ap_directive_t* section = directive.parent;
    if (section && (has_name(*section, "<Proxy") || has_name(*section, "<ProxyMatch"))) {
        const char* words = section->args;
        is_for_balancer = is_url_of(balancer, ap_getword_conf(temporary, &words));
    }
    for (const char* words = directive.args; *words;) {
        const char* word = ap_getword_conf(temporary, &words);
        if (is_for_balancer && ap_cstr_casecmpn(word, "lbmethod=", 9) == 0) return true;
        is_for_balancer = is_for_balancer || is_url_of(balancer, word);
    }
    return false;
}

bool any_names_method(const ap_directive_t* directives, const proxy_balancer& balancer,
                      apr_pool_t* temporary) noexcept {
    for (const ap_directive_t* directive = directives; directive; directive = directive->next)
        if (names_method(*directive, balancer, temporary) ||
            any_names_method(directive->first_child, balancer, temporary))
            return true;
    return false;
}

}  // namespace

void inherit_methods(server_rec* main_server, apr_pool_t* temporary) noexcept {
    for (const server_rec* host = main_server->next; host; host = host->next) {
        const ap_directive_t* section = section_of(*host, ap_conftree);
        for_each_balancer(host, [&](proxy_balancer& copy) {
            for_each_balancer(main_server, [&](const proxy_balancer& original) {
                // A copy has the very list of members of the original.
                if (copy.workers != original.workers || is_ours(copy) || !is_ours(original)) return;
                if (section && any_names_method(section->first_child, copy, temporary)) return;
                apr_cpystrn(copy.s->lbpname, provider.name, sizeof(copy.s->lbpname));
            });
        });
    }
}

}  // namespace lbsticky
