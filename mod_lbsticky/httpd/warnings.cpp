#include "httpd/warnings.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/masked_url.hpp"
#include "core/route_id.hpp"
#include "httpd/directives.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/provider.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Logs each sentence only once.
class Log {
public:
    void warn(server_rec* server, const std::string& sentence) {
        if (logged_.insert(sentence).second) ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server, "%s", sentence.c_str());
    }

private:
    std::set<std::string> logged_;
};

// A balancer, its settings, and where to log warnings about it.
struct Subject {
    const proxy_balancer& balancer;
    const Settings& settings;
    server_rec* server;
    Log& log;

    // Logs a sentence behind the balancer's name.
    void warn(const std::string& sentence) const { log.warn(server, std::string(balancer.s->name) + ": " + sentence); }
};

void warn_of_routes(const Subject& subject) {
    const proxy_balancer& balancer = subject.balancer;
    const Settings& settings = subject.settings;
    // The balancer's own cookie names a member without a route by an id; a session id cannot.
    const bool cookie_off = settings.cookie && settings.cookie->given == CookieSettings::Given::never;
    const auto& names = settings.session_names;
    const bool may_have_routes =
        names ? std::any_of(names->begin(), names->end(),
                            [](const SessionName& name) {
                                return name.where != Where::expression && name.keeping == Keeping::given;
                            })
              : *balancer.s->sticky != '\0';
    const bool only_session_ids = cookie_off && may_have_routes;
    std::unordered_map<std::string_view, std::string> by_route;
    int without_route = 0;
    std::string first_without_route;

    for (int i = 0; i < balancer.workers->nelts; ++i) {
        const proxy_worker_shared& worker = *APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s;
        const std::string name = masked_url(url_of(worker));
        const char* route = worker.route;
        if (!*route) {
            if (without_route++ == 0) first_without_route = name;
            continue;
        }
        const auto [other, is_new] = by_route.try_emplace(route, name);
        if (!is_new)
            subject.warn("members " + other->second + " and " + name + " have the same route=" + route +
                         ": sessions of the one go to the other");

        if (const char* found = std::strpbrk(route, " ;,"))
            subject.warn(std::string("route=") + route + " of member " + name + " holds '" + *found +
                         "', which cannot stand in a cookie: its sessions may not be found");
    }
    if (only_session_ids && without_route > 0)
        subject.warn(std::to_string(without_route) + " of " + std::to_string(balancer.workers->nelts) +
                     " members have no route=, " + first_without_route + " the first: a session id cannot name them");
}

// Whether LBStickySession names this cookie.
bool is_session_name(const Settings& settings, std::string_view cookie) {
    const auto& names = settings.session_names;
    return names && std::any_of(names->begin(), names->end(), [cookie](const SessionName& name) {
               return name.where == Where::cookie_or_url && name.cookie == cookie;
           });
}

// Whether a cookie, by its name, is one that applications make for their sessions, not one that only names a member.
bool looks_like_session_cookie(const char* cookie) noexcept {
    const auto holds = [cookie](const char* part) { return ap_strcasestr(cookie, part) != nullptr; };
    return ap_cstr_casecmp(cookie, "connect.sid") == 0 || (holds("sess") && !holds("sticky") && !holds("route"));
}

void warn_of_cookie(const Subject& subject) {
    const proxy_balancer& balancer = subject.balancer;
    const CookieSettings cookie = subject.settings.cookie.value_or(CookieSettings{});
    const bool is_off = cookie.given == CookieSettings::Given::never;
    if (subject.settings.secrets && is_off && !subject.settings.has_line(Keeping::append))
        subject.warn("LBStickySecretFile has no effect as long as LBStickyCookie is off");

    const std::string name = cookie.name_for(balancer);
    const bool is_stickysession = cookie.name == balancer.s->sticky && looks_like_session_cookie(balancer.s->sticky);
    if (is_session_name(subject.settings, name) || is_stickysession)
        subject.warn("LBStickyCookie " + (cookie.name.empty() ? "auto, as " + name + "," : name) +
                     " has the name of the application's session, which members will not see: " +
                     (cookie.name.empty() ? "take it out of LBStickySession" : "give it another"));
}

void warn_of_learning(const Subject& subject) {
    if (subject.settings.has_line(Keeping::learn)) return;
    for (const auto& [is_set, name] : {std::pair(subject.settings.table.has_value(), "LBStickyTable"),
                                       std::pair(subject.settings.store.has_value(), "LBStickyStore")})
        if (is_set)
            subject.warn(std::string(name) +
                         " has no effect: no LBStickySession has route=learn, so nothing is learned");
}

void warn_of_stickysession(const Subject& subject) {
    const std::string name = subject.balancer.s->sticky;
    if (name.find('*') != std::string::npos) subject.warn("stickysession=" + name + ": " + no_wildcard);
    if (!name.empty() && subject.settings.session_names && !is_session_name(subject.settings, name))
        subject.warn("stickysession=" + name +
                     " is none of the names of LBStickySession, and those alone count: name it there, or take it away");
}

// The members of a server, by the cookie of their balancer and by their address.
using KnownMembers = std::unordered_map<std::string, std::pair<const proxy_balancer*, const proxy_worker_shared*>>;

// The id of a member without a route is made from its URL. If two balancers share a cookie and a member, one for http
// and one for ws, the member has two ids.
void warn_of_ids(const Subject& subject, KnownMembers& known) {
    const auto& cookie = subject.settings.cookie;
    if (!cookie || cookie->name.empty()) return;
    const std::string cookie_key = cookie->name + ";" + cookie->attributes.domain + ";" + cookie->attributes.path + ";";
    for (int i = 0; i < subject.balancer.workers->nelts; ++i) {
        const proxy_worker_shared& member = *APR_ARRAY_IDX(subject.balancer.workers, i, proxy_worker*)->s;
        const std::string address = std::string(member.hostname_ex) + ":" + std::to_string(member.port);
        const auto& [balancer, other] =
            known.try_emplace(cookie_key + address + member.uds_path, &subject.balancer, &member).first->second;
        if (balancer == &subject.balancer) continue;
        const bool by_url = !*member.route && !*other->route;
        const bool has_one_id =
            by_url ? std::strcmp(member.scheme, other->scheme) == 0 : *member.route && *other->route;
        if (has_one_id) continue;
        subject.warn("LBStickyCookie " + cookie->name + " is shared with " + balancer->s->name + ", where member " +
                     masked_url(url_of(member)) + " is " + masked_url(url_of(*other)) +
                     " and has another id: give each member that is in both the same route= in both");
        return;  // one warning is enough for all members
    }
}

// A balancer whose cookie has an automatic name, and the secrets that its values are made with.
struct Giver {
    const proxy_balancer& balancer;
    std::optional<std::vector<std::string>> secrets;
};

// The givers of all servers, by what identifies a cookie to a browser: its name, its path, and its host or domain.
using KnownGivers = std::unordered_map<std::string, Giver>;

std::set<std::string> ids_of(const proxy_balancer& balancer) {
    std::set<std::string> ids;
    for (int i = 0; i < balancer.workers->nelts; ++i) {
        const proxy_worker_shared& member = *APR_ARRAY_IDX(balancer.workers, i, proxy_worker*)->s;
        ids.insert(cookie_id(url_of(member), member.route));
    }
    return ids;
}

// Whether each understands the other's cookies. The copies of a balancer in virtual hosts have its very list of
// members.
bool understand_each_other(const Giver& one, const Giver& other) {
    return one.secrets == other.secrets &&
           (one.balancer.workers == other.balancer.workers || ids_of(one.balancer) == ids_of(other.balancer));
}

// The host names of a server, in lower case. To a browser a cookie belongs to a host name, whatever the port.
std::vector<std::string> hosts_of(const server_rec& server) {
    std::vector<std::string> hosts;
    const auto add = [&hosts](const char* host) {
        hosts.emplace_back(host ? host : "");
        ap_str_tolower(hosts.back().data());
    };
    add(server.server_hostname);
    for (const apr_array_header_t* names : {server.names, server.wild_names})
        for (int i = 0; names && i < names->nelts; ++i) add(APR_ARRAY_IDX(names, i, const char*));
    return hosts;
}

// Warns where two balancers have the same automatic name, `c:8080` and `c_8080` or `app` on two ports of a host: a
// client keeps the cookie of only one of them, and neither is sticky.
void warn_of_automatic_name(const Subject& subject, KnownGivers& known) {
    const CookieSettings cookie = subject.settings.cookie.value_or(CookieSettings{});
    const std::string name = cookie.name_for(subject.balancer);
    if (name.empty() || !cookie.name.empty()) return;
    const Giver giver{subject.balancer, subject.settings.secrets};
    const std::string& domain = cookie.attributes.domain;
    const std::string cookie_key = name + ";" + cookie.attributes.path + ";";
    const auto warn_for = [&](const std::string& host) {
        const Giver& other = known.try_emplace(cookie_key + host, giver).first->second;
        if (understand_each_other(giver, other)) return false;
        subject.warn("LBStickyCookie auto, as " + name + ", is also the cookie of another balancer for " + host + ", " +
                     other.balancer.s->name +
                     ", with other members or secrets: a client keeps only one of the two; give one of them a name: "
                     "LBStickyCookie NAME");
        return true;
    };
    for (const std::string& host : domain.empty() ? hosts_of(*subject.server) : std::vector{domain})
        if (warn_for(host)) return;  // one warning is enough for all hosts
}

void warn_of_balancer(const Subject& subject, KnownMembers& known, KnownGivers& givers) {
    if (is_ours(subject.balancer)) {
        warn_of_routes(subject);
        warn_of_cookie(subject);
        warn_of_learning(subject);
        warn_of_stickysession(subject);
        warn_of_ids(subject, known);
        warn_of_automatic_name(subject, givers);
    } else if (subject.settings.any()) {
        subject.warn(std::string("its LBSticky directives have no effect as long as its lbmethod is ") +
                     subject.balancer.s->lbpname + ", not sticky");
    }
}

// Warns of directives in a <Proxy "balancer://…"> for which there is no balancer.
void warn_of_unused_sections(const proxy_server_conf& configuration, server_rec* server, Log& log) {
    for (int i = 0; i < configuration.sec_proxy->nelts; ++i) {
        auto* section = APR_ARRAY_IDX(configuration.sec_proxy, i, ap_conf_vector_t*);
        if (!settings_in(section).any()) continue;
        bool used = false;
        for_each_balancer(server,
                          [&](const proxy_balancer& balancer) { used = used || section_names(section, balancer); });
        if (used) continue;
        const auto* proxy = static_cast<const proxy_dir_conf*>(ap_get_module_config(section, mod_proxy.record));
        log.warn(server, std::string("<Proxy \"") + proxy->p +
                             "\">: its LBSticky directives have no effect: there is no such balancer");
    }
}

}  // namespace

void warn_of_configuration(server_rec* main_server) {
    Log log;
    KnownGivers givers;
    for_each_proxy(main_server, [&](server_rec* server) {
        const proxy_server_conf& configuration = *proxy_configuration(server);
        KnownMembers known;
        for_each_balancer(server, [&](const proxy_balancer& balancer) {
            warn_of_balancer({balancer, settings_for(balancer, configuration), server, log}, known, givers);
        });
        warn_of_unused_sections(configuration, server, log);
    });
}

}  // namespace lbsticky
