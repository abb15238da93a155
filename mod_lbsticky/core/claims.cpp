#include "core/claims.hpp"

#include "core/session.hpp"

namespace lbsticky {
namespace {

// Reads the session ids of one name, as far as they stand where the rules say.
void read_name(const RequestText& request, const SessionName& name, ParsingRules how, char separator, Claims& claims) {
    // mod_proxy_balancer's rules are lax: a value that only they find has to carry a route.
    const auto counts = [&](std::string_view value) {
        return how == ParsingRules::strict || separator == '\0' || value.find(separator) != std::string_view::npos;
    };
    const auto is_in = [&](std::string_view url) {
        const auto value = find_parameter(url, name.parameter, how);
        if (!value || !counts(*value)) return false;
        claims.session_name = name.parameter;
        claims.sessions.add(*value);
        return true;
    };
    if (is_in(request.proxied_url) || is_in(request.url)) return;
    CookieReader cookies(request.cookies, name.cookie, how);
    while (!claims.sessions.is_full()) {
        const auto value = cookies.next();
        if (!value) break;
        if (value->empty() || !counts(*value)) continue;
        claims.session_name = name.cookie;
        claims.sessions.add(*value);
    }
}

void read_session(const RequestText& request, const Rules& rules, Claims& claims) {
    for (const SessionName& name : rules.names) {
        if (name.where != Where::cookie_or_url) {
            auto value = request.others ? request.others->value_of(name) : std::string_view();
            if (name.where == Where::header) value = unquoted(value);
            if (value.empty()) continue;
            claims.from = &name;
            claims.session_name = name.other;
            claims.sessions.add(value);
            return;
        }
        // By our own rules first, then by those of the name.
        for (ParsingRules how = ParsingRules::strict;; how = name.rules) {
            read_name(request, name, how, rules.separator, claims);
            if (!claims.sessions.empty()) {
                claims.from = &name;
                return;
            }
            if (how == name.rules) break;
        }
    }
}

}  // namespace

Claims read_claims(const RequestText& request, const Rules& rules) noexcept {
    Claims claims;
    claims.client_address = request.client_address;
    claims.now = request.now;
    read_session(request, rules, claims);
    if (rules.cookie_name.empty()) return claims;
    CookieReader cookies(request.cookies, rules.cookie_name);
    while (!claims.cookies.is_full()) {
        const auto value = cookies.next();
        if (!value) break;
        claims.cookies.add(*value);
    }
    return claims;
}

}  // namespace lbsticky
