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

bool is(const ap_directive_t& directive, const char* name) noexcept {
    return ap_cstr_casecmp(directive.directive, name) == 0;
}

// The section that a virtual host was read from, among these directives and those in them; null if there is none. Every
// reading of a file, and every use of a macro, has a string of its own for its name.
const ap_directive_t* section_of(const server_rec& host, const ap_directive_t* directives) noexcept {
    for (const ap_directive_t* directive = directives; directive; directive = directive->next) {
        if (directive->filename == host.defn_name &&
            static_cast<unsigned>(directive->line_num) == host.defn_line_number && is(*directive, "<VirtualHost"))
            return directive;
        if (const ap_directive_t* inside = section_of(host, directive->first_child)) return inside;
    }
    return nullptr;
}

// Whether a word is the balancer's URL, as httpd reads it: in any case, up to the first slash behind the name, or to
// the end of <Proxy>.
bool is_url_of(const proxy_balancer& balancer, std::string_view word) noexcept {
    constexpr std::size_t prefix = sizeof(BALANCER_PREFIX) - 1;
    word = word.substr(0, word.find_first_of("/>", prefix));
    const std::string_view name = balancer.s->name;
    return word.size() == name.size() && ap_cstr_casecmpn(word.data(), name.data(), name.size()) == 0;
}

// Whether a directive names a method for the balancer: lbmethod= behind its URL, which ProxySet has from the section
// around it.
bool names_method(const ap_directive_t& directive, const proxy_balancer& balancer, apr_pool_t* temporary) noexcept {
    constexpr const char* with_parameters[] = {"ProxyPass", "ProxyPassMatch", "ProxySet", "<Proxy"};
    if (std::none_of(std::begin(with_parameters), std::end(with_parameters),
                     [&](const char* name) { return is(directive, name); }))
        return false;
    bool is_balancers = false;
    const ap_directive_t* section = directive.parent;
    if (section && (is(*section, "<Proxy") || is(*section, "<ProxyMatch"))) {
        const char* words = section->args;
        is_balancers = is_url_of(balancer, ap_getword_conf(temporary, &words));
    }
    for (const char* words = directive.args; *words;) {
        const char* word = ap_getword_conf(temporary, &words);
        if (is_balancers && ap_cstr_casecmpn(word, "lbmethod=", 9) == 0) return true;
        is_balancers = is_balancers || is_url_of(balancer, word);
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
        for_each_balancer(host, [&](proxy_balancer& own) {
            for_each_balancer(main_server, [&](const proxy_balancer& inherited) {
                // httpd gives the virtual host's balancer the very list of members of the main server's.
                if (own.workers != inherited.workers || is_ours(own) || !is_ours(inherited)) return;
                if (section && any_names_method(section->first_child, own, temporary)) return;
                apr_cpystrn(own.s->lbpname, provider.name, sizeof(own.s->lbpname));
            });
        });
    }
}

}  // namespace lbsticky
