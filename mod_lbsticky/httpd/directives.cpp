#include "httpd/directives.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <string_view>

#include "core/duration.hpp"
#include "core/number.hpp"
#include "core/words.hpp"
#include "httpd/guard.hpp"
#include "httpd/mod_proxy_functions.hpp"
#include "httpd/pool.hpp"
#include "httpd/worker_ids.hpp"

extern "C" {
#include "apr_file_info.h"
#include "apr_fnmatch.h"
#include "apr_strings.h"
}

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Why a directive may not stand where it does: outside <Proxy "balancer://…">, or where its section `has_it` already.
// Null if it may.
const char* refuse_place(const cmd_parms* cmd, bool has_it) noexcept {
    const ap_directive_t* section = cmd->directive->parent;
    if (section && ap_cstr_casecmp(section->directive, "<Proxy") == 0 && cmd->path &&
        ap_cstr_casecmpn(cmd->path, BALANCER_PREFIX, sizeof(BALANCER_PREFIX) - 1) == 0)
        return has_it ? apr_pstrcat(cmd->pool, cmd->cmd->name, " is allowed only once inside ", section->directive, " ",
                                    section->args, nullptr)
                      : nullptr;
    return apr_pstrcat(cmd->pool, cmd->cmd->name, " is allowed only inside <Proxy \"balancer://...\">, not ",
                       section ? apr_pstrcat(cmd->pool, "inside ", section->directive, " ", section->args, nullptr)
                               : "at the top level",
                       nullptr);
}

constexpr char route_word[] = "route=";

// "route=given, route=append or …".
std::string routes_allowed() {
    return words_of(keeping_words, " or ", route_word);
}

// Sets how the sessions of a line stay. Returns null, or what is wrong.
const char* set_keeping(const char* argument, const char* rest, std::vector<SessionName>& names, apr_pool_t* pool) {
    const auto* word = find_word(keeping_words, argument + sizeof(route_word) - 1);
    if (!word) return apr_pstrdup(pool, routes_allowed().c_str());
    if (*rest) return "nothing comes after it in its line";
    for (SessionName& name : names) {
        if (word->second == Keeping::append && name.where == Where::expression)
            return "no response gives what an expression says, so that nothing can be appended to it";
        name.keeping = word->second;
    }
    return nullptr;
}

const char* set_session(cmd_parms* cmd, void* section, const char* arguments) noexcept {
    if (const char* refusal = refuse_place(cmd, false)) return refusal;  // several lines add up
    const auto parse = [&]() -> const char* {
        std::vector<SessionName> parsed;
        do {
            const char* argument = ap_getword_conf(cmd->pool, &arguments);
            if (!*argument)
                return apr_pstrcat(
                    cmd->pool, cmd->cmd->name,
                    " takes one or more of NAME or NAME|PARAM (a cookie, a path parameter), header:NAME, "
                    "\"expr:EXPRESSION\"; then ",
                    routes_allowed().c_str(), ", if any", nullptr);
            if (ap_cstr_casecmpn(argument, route_word, sizeof(route_word) - 1) == 0 && !parsed.empty()) {
                if (const char* mistake = set_keeping(argument, arguments, parsed, cmd->pool))
                    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": '", argument, "' is not allowed: ", mistake,
                                       nullptr);
                break;
            }
            auto name = parse_session_name(argument);
            if (!name)
                return apr_pstrcat(
                    cmd->pool, cmd->cmd->name, ": '", argument,
                    "' is not allowed: NAME, NAME|PARAM or header:NAME, each of letters, digits and any of "
                    "!#$%&'+-.^_`~, or \"expr:EXPRESSION\"",
                    std::strchr(argument, '*') ? "; " : nullptr, no_wildcard, nullptr);
            if (name->where == Where::expression) {
                // What a session is found by is nothing that the response varies by.
                constexpr unsigned flags = AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY;
                const char* mistake = nullptr;
                name->compiled = ap_expr_parse_cmd(cmd, name->behind_word().data(), flags, &mistake, nullptr);
                if (mistake)
                    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": '", argument, "' is not allowed: ", mistake,
                                       nullptr);
            }
            parsed.push_back(*name);
        } while (*arguments);
        auto& names = static_cast<Settings*>(section)->session_names;
        if (!names) names.emplace();
        names->insert(names->end(), parsed.begin(), parsed.end());
        return nullptr;
    };
    return guarded(parse, [&](const char* why) { return static_cast<const char*>(apr_pstrdup(cmd->pool, why)); });
}

// Runs a parser that returns nothing on success, else a sentence. Returns null or that sentence, behind the directive's
// name.
template <typename Parser>
const char* run_parser(const cmd_parms* cmd, Parser&& parse) noexcept {
    const auto with_name = [cmd](const char* sentence) -> const char* {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", sentence, nullptr);
    };
    return guarded(
        [&]() -> const char* {
            const std::optional<std::string> sentence = parse();
            return sentence ? with_name(sentence->c_str()) : nullptr;
        },
        with_name);
}

// Words, in any case, that people write where a name is due, but do not mean as one.
constexpr const char* words_not_names[] = {"of",   "on",    "yes",    "no",     "true",    "false",   "0",       "1",
                                           "none", "never", "always", "enable", "enabled", "disable", "disabled"};

std::optional<std::string> parse_cookie(const std::vector<std::string>& arguments, CookieSettings& cookie) {
    const std::string first = arguments.empty() ? "" : arguments.front();
    if (ap_cstr_casecmp(first.c_str(), "off") == 0) {
        if (arguments.size() > 1) return "'" + arguments[1] + "' is not allowed: off takes nothing more";
        cookie.given = CookieSettings::Given::never;
        return std::nullopt;
    }
    if (ap_cstr_casecmp(first.c_str(), "auto") != 0) {
        const std::string quoted = "'" + first + "'";
        if (first.find('=') != std::string::npos || is_attribute(first))
            return quoted + " is not allowed: auto or the NAME of a cookie comes first";
        const bool is_not_a_name =
            std::any_of(std::begin(words_not_names), std::end(words_not_names),
                        [&](const char* word) { return ap_cstr_casecmp(first.c_str(), word) == 0; });
        if (is_not_a_name || !is_cookie_name(first))
            return quoted +
                   " is not allowed: auto, off, or the NAME of a cookie, of letters, digits and any of "
                   "!#$%&'*+-.^_`|~" +
                   (is_not_a_name ? "; " + quoted + " is no name" : "");
        cookie.given = CookieSettings::Given::always;
        cookie.name = first;
    }
    for (std::size_t i = 1; i < arguments.size(); ++i)
        if (auto sentence = set_attribute(cookie.attributes, arguments[i])) return sentence;
    if (auto sentence = contradiction(cookie.name, cookie.attributes)) return "'" + first + "': " + *sentence;
    return std::nullopt;
}

const char* set_own_cookie(cmd_parms* cmd, void* section, const char* arguments) noexcept {
    auto& setting = static_cast<Settings*>(section)->cookie;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&] {
        std::vector<std::string> words;
        while (*arguments) words.emplace_back(ap_getword_conf(cmd->temp_pool, &arguments));
        CookieSettings cookie;
        auto sentence = parse_cookie(words, cookie);
        if (!sentence) setting = std::move(cookie);
        return sentence;
    });
}

// The lines of a file that nobody but its owner and group may read, each of at least so many characters.
std::optional<std::string> read_private_lines(const char* path, const std::string& what, std::size_t shortest,
                                              apr_pool_t* pool, std::vector<std::string>& lines) {
    const std::string quoted = "'" + std::string(path) + "' ";
    apr_finfo_t info;
    char reason[128];
    if (const auto status = apr_stat(&info, path, APR_FINFO_PROT | APR_FINFO_TYPE, pool); status != APR_SUCCESS)
        return quoted + "cannot be read: " + apr_strerror(status, reason, sizeof(reason));
    if (info.filetype != APR_REG) return quoted + "is not a file";
    constexpr apr_fileperms_t others = APR_FPROT_WREAD | APR_FPROT_WWRITE;
    if (info.protection & others)
        return quoted + "can be read or written by everyone: only its owner and group may (chmod 640)";

    std::ifstream file(path);
    if (!file) return quoted + "cannot be read";
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
        ++number;
        if (line.ends_with('\r')) line.pop_back();
        if (line.size() < shortest)
            return (quoted + "line " + std::to_string(number) + " has " + std::to_string(line.size()) +
                    " characters: a ")
                .append(what)
                .append(" has at least ")
                .append(std::to_string(shortest));
        lines.push_back(line);
    }
    if (file.bad()) return quoted + "cannot be read";
    if (lines.empty()) return (quoted + "is empty: it holds one ").append(what).append(" a line");
    return std::nullopt;
}

const char* set_secret_file(cmd_parms* cmd, void* section, const char* argument) noexcept {
    auto& setting = static_cast<Settings*>(section)->secrets;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    const char* path = ap_server_root_relative(cmd->pool, argument);
    return run_parser(cmd, [&] {
        std::vector<std::string> secrets;
        auto sentence = read_private_lines(path ? path : argument, "secret", shortest_secret, cmd->temp_pool, secrets);
        if (!sentence) setting = std::move(secrets);
        return sentence;
    });
}

const char* set_hash(cmd_parms* cmd, void* section, const char* argument) noexcept {
    auto& setting = static_cast<Settings*>(section)->hash;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    const bool on = ap_cstr_casecmp(argument, "on") == 0;
    if (!on && ap_cstr_casecmp(argument, "off") != 0)
        return apr_psprintf(cmd->pool, "%s: '%s' is not allowed: on or off", cmd->cmd->name, argument);
    setting = on;
    return nullptr;
}

const char* set_placement(cmd_parms* cmd, void* section, const char* argument) noexcept {
    auto& setting = static_cast<Settings*>(section)->placement;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&]() -> std::optional<std::string> {
        const auto* word = find_word(placement_words, argument);
        if (!word) return "'" + std::string(argument) + "' is not allowed: one of " + words_of(placement_words, ", ");
        setting = word->second;
        return std::nullopt;
    });
}

// The longest time that a directive takes, but where it says otherwise.
constexpr std::chrono::hours longest_time(24 * 366);

// Reads the words of a directive, each of them key=value and none twice: set(key, value) returns nothing on success,
// else what is allowed. Without any word `it_takes` is said.
template <typename Set>
std::optional<std::string> read_values(cmd_parms* cmd, const char* arguments, const char* it_takes, Set&& set) {
    std::vector<std::string> keys;
    while (*arguments) {
        const std::string argument = ap_getword_conf(cmd->temp_pool, &arguments);
        const std::size_t equals = std::min(argument.find('='), argument.size());
        const std::string key = argument.substr(0, equals);
        const std::string value = argument.substr(std::min(equals + 1, argument.size()));
        std::optional<std::string> why = set(key, value);
        if (!why && std::find(keys.begin(), keys.end(), key) != keys.end()) why = key + "= stands there already";
        if (why) return "'" + argument + "' is not allowed: " + *why;
        keys.push_back(key);
    }
    if (keys.empty()) return it_takes;
    return std::nullopt;
}

const char* set_limits(cmd_parms* cmd, void* section, const char* arguments) noexcept {
    auto& setting = static_cast<Settings*>(section)->limits;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&] {
        Limits limits;
        const auto set = [&](const std::string& key, const std::string& value) -> std::optional<std::string> {
            constexpr std::uint32_t most = 1'000'000;
            std::uint32_t* limit = key == "new" ? &limits.fresh : key == "all" ? &limits.all : nullptr;
            const auto number = limit ? number_in<std::uint32_t>(value, 1, most) : std::nullopt;
            if (!number) return "new=N, all=N, N being a number of requests from 1 to 1000000";
            *limit = *number;
            return std::nullopt;
        };
        auto sentence =
            read_values(cmd, arguments, "it takes new=N, all=N or both, N being a number of requests in flight", set);
        if (!sentence) setting = limits;
        return sentence;
    });
}

const char* set_table(cmd_parms* cmd, void* section, const char* arguments) noexcept {
    auto& setting = static_cast<Settings*>(section)->table;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&] {
        TableSettings table;
        const auto set = [&](const std::string& key, const std::string& value) -> std::optional<std::string> {
            using namespace std::chrono_literals;
            constexpr std::size_t most_sessions = 100'000'000;
            if (key == "sessions") {
                const auto number = number_in<std::size_t>(value, 1, most_sessions);
                if (!number) return "sessions=N, N being a number from 1 to 100000000";
                table.sessions = *number;
            } else if (key == "idle") {
                const auto idle = parse_duration(value, 1s, longest_time);
                if (!idle) return "idle=TIME, TIME being from 1s to 366d, as 90, 30m, 12h or 7d";
                table.idle = std::chrono::ceil<std::chrono::seconds>(*idle);
            } else {
                return "sessions=N, idle=TIME";
            }
            return std::nullopt;
        };
        auto sentence = read_values(cmd, arguments, "it takes sessions=N, idle=TIME or both", set);
        if (!sentence) setting = table;
        return sentence;
    });
}

const char* set_store(cmd_parms* cmd, void* section, const char* arguments) noexcept {
    auto& setting = static_cast<Settings*>(section)->store;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&]() -> std::optional<std::string> {
        std::vector<std::string_view> words;
        while (*arguments) words.emplace_back(ap_getword_conf(cmd->temp_pool, &arguments));
        StoreSettings store;
        if (auto sentence = read_store(store, words)) return sentence;
        if (!store.password_file.empty()) {
            const char* path = ap_server_root_relative(cmd->pool, store.password_file.c_str());
            std::vector<std::string> lines;
            const std::string file = path ? path : store.password_file;
            if (auto sentence = read_private_lines(file.c_str(), "password", 1, cmd->temp_pool, lines)) return sentence;
            if (lines.size() > 1) return "'" + file + "' has more than one line: it holds one password";
            store.password = lines.front();
        }
        setting = std::move(store);
        return std::nullopt;
    });
}

// A percentage, from 1% to 100%; nothing if it is none of these.
std::optional<std::uint32_t> parse_percent(std::string_view text) noexcept {
    if (!text.ends_with('%')) return std::nullopt;
    return number_in<std::uint32_t>(text.substr(0, text.size() - 1), 1, 100);
}

const char* set_slow_start(cmd_parms* cmd, void* section, const char* duration, const char* from) noexcept {
    auto& setting = static_cast<Settings*>(section)->slow_start;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&]() -> std::optional<std::string> {
        SlowStart slow_start;
        const auto length =
            parse_duration(duration, std::chrono::milliseconds(0), std::chrono::milliseconds(SlowStart::longest));
        if (!length)
            return "'" + std::string(duration) +
                   "' is not allowed: seconds, or a number with ms, s, m, h or d, at most 7d; 0: none";
        slow_start.duration = static_cast<Milliseconds>(length->count());
        if (from) {
            const std::string_view argument(from);
            const auto percent = argument.starts_with("from=") ? parse_percent(argument.substr(5)) : std::nullopt;
            if (!percent) return "'" + std::string(from) + "' is not allowed: from=N%, N being a number from 1 to 100";
            slow_start.from = *percent;
        }
        setting = slow_start;
        return std::nullopt;
    });
}

// Whether members can be told by a header of that name: one that neither httpd nor they go by otherwise.
bool is_free_header(const std::string& name) {
    constexpr const char* taken[] = {"Host",
                                     "Cookie",
                                     "Connection",
                                     "Content-Length",
                                     "Transfer-Encoding",
                                     "Expect",
                                     "Upgrade",
                                     "Keep-Alive",
                                     "TE",
                                     "Trailer",
                                     "Proxy-Connection",
                                     "Authorization",
                                     "X-Forwarded-For",
                                     "X-Forwarded-Host",
                                     "X-Forwarded-Server"};
    return is_cookie_name(name) && std::none_of(std::begin(taken), std::end(taken), [&name](const char* other) {
               return ap_cstr_casecmp(name.c_str(), other) == 0;
           });
}

const char* set_drain(cmd_parms* cmd, void* section, const char* arguments) noexcept {
    auto& setting = static_cast<Settings*>(section)->drain;
    if (const char* refusal = refuse_place(cmd, setting.has_value())) return refusal;
    return run_parser(cmd, [&] {
        DrainSettings drain;
        const auto set = [&](const std::string& key, const std::string& value) -> std::optional<std::string> {
            const auto duration = parse_duration(value, std::chrono::milliseconds(0), longest_time);
            const auto milliseconds = duration ? static_cast<Milliseconds>(duration->count()) : Milliseconds{0};
            const std::string times = key + "= takes seconds, or a number with ms, s, m, h or d, at most 366d";
            if (key == "deadline") {
                if (!duration) return times + "; 0: never";
                drain.drain.deadline = milliseconds;
            } else if (key == "quiet") {
                if (milliseconds == 0) return times + ", and more than 0";
                drain.drain.quiet = milliseconds;
            } else if (key == "header") {
                if (!is_free_header(value))
                    return "header= takes the name of a request header that nobody goes by otherwise, of letters, "
                           "digits and any of !#$%&'*+-.^_`|~";
                drain.header = value;
            } else {
                return "deadline=, quiet= or header=";
            }
            return std::nullopt;
        };
        auto sentence =
            read_values(cmd, arguments, "it takes deadline=, quiet= and header=, at least one of them", set);
        if (!sentence) setting = std::move(drain);
        return sentence;
    });
}

// To httpd the directives may stand anywhere: refuse_place() says better where they may not.
constexpr int anywhere = RSRC_CONF | ACCESS_CONF;

// httpd's table holds functions of any signature as one type, and knows by its entry's kind how to call each.
template <typename Function>
cmd_func any_function(Function* function) noexcept {
    return reinterpret_cast<cmd_func>(reinterpret_cast<void (*)()>(function));
}

}  // namespace

const command_rec directives[] = {
    AP_INIT_RAW_ARGS("LBStickySession", any_function(set_session), nullptr, anywhere,
                     "where the application's session id stands: one or more of NAME or NAME|PARAM (a cookie, a path "
                     "parameter), header:NAME, \"expr:EXPRESSION\"; then route=given, route=append or route=learn"),
    AP_INIT_RAW_ARGS("LBStickyCookie", any_function(set_own_cookie), nullptr, anywhere,
                     "the balancer's own cookie: NAME, auto or off, then path=, domain=, maxage=, httponly=, secure=, "
                     "samesite=, partitioned=, nocache="),
    AP_INIT_TAKE1("LBStickySecretFile", any_function(set_secret_file), nullptr, anywhere,
                  "a file with one secret a line, each of at least 32 characters, which signs the balancer's cookie"),
    AP_INIT_TAKE1("LBStickyHash", any_function(set_hash), nullptr, anywhere,
                  "whether a session id without a known route is placed by consistent hashing: on or off"),
    AP_INIT_TAKE1("LBStickyPlace", any_function(set_placement), nullptr, anywhere,
                  "who gets a new session: rotation, busyness or sessions"),
    AP_INIT_RAW_ARGS(
        "LBStickyLimit", any_function(set_limits), nullptr, anywhere,
        "requests in flight, per load factor of 1, from which on a member is full: new=N for new sessions, "
        "all=N for all requests"),
    AP_INIT_RAW_ARGS("LBStickyTable", any_function(set_table), nullptr, anywhere,
                     "the table of learned sessions: sessions=65536, how many, and idle=1h, for how long"),
    AP_INIT_RAW_ARGS("LBStickyStore", any_function(set_store), nullptr, anywhere,
                     "where front ends share learned sessions: redis://[USER:PASSWORD@]HOST[:PORT][/DB] or "
                     "memcached://HOST[:PORT], then timeout=, prefix=, password-file="),
    AP_INIT_RAW_ARGS("LBStickyDrain", any_function(set_drain), nullptr, anywhere,
                     "what draining means: deadline=, after which sessions are moved; quiet=, in which none asks of a "
                     "member that is drained; header=NAME, by which members are told over HTTP"),
    AP_INIT_TAKE12(
        "LBStickySlowStart", any_function(set_slow_start), nullptr, anywhere,
        "how long a member that comes into service gets only a part of its share of new sessions, which grows "
        "from from=N% (10%) to all of it"),
    {},
};

std::string CookieSettings::name_for(const proxy_balancer& balancer) const {
    if (given == Given::never) return {};
    if (!name.empty()) return name;
    std::string made = std::string("lbsticky_") + (balancer.s->name + sizeof(BALANCER_PREFIX) - 1);
    for (char& c : made)
        if (!is_cookie_name({&c, 1})) c = '_';
    return made;
}

Settings Settings::merged_with(const Settings& over) const {
    Settings merged = *this;
    if (over.session_names) merged.session_names = over.session_names;
    if (over.hash) merged.hash = over.hash;
    if (over.cookie) merged.cookie = over.cookie;
    if (over.secrets) merged.secrets = over.secrets;
    if (over.placement) merged.placement = over.placement;
    if (over.limits) merged.limits = over.limits;
    if (over.table) merged.table = over.table;
    if (over.store) merged.store = over.store;
    if (over.slow_start) merged.slow_start = over.slow_start;
    if (over.drain) merged.drain = over.drain;
    return merged;
}

bool Settings::has_line(Keeping keeping) const noexcept {
    return session_names && std::any_of(session_names->begin(), session_names->end(),
                                        [keeping](const SessionName& name) { return name.keeping == keeping; });
}

void* create_settings(apr_pool_t* pool, char*) noexcept {
    return make_in<Settings>(pool);
}

const Settings& settings_in(ap_conf_vector_t* section) noexcept {
    static const Settings none;
    const auto* settings = static_cast<const Settings*>(ap_get_module_config(section, &lbmethod_sticky_module));
    return settings ? *settings : none;
}

bool section_names(ap_conf_vector_t* section, const proxy_balancer& balancer) noexcept {
    const auto* proxy = static_cast<const proxy_dir_conf*>(ap_get_module_config(section, mod_proxy.record));
    if (!proxy->p || proxy->r) return false;
    if (proxy->p_is_fnmatch) return apr_fnmatch(proxy->p, balancer.s->name, APR_FNM_CASE_BLIND) == APR_SUCCESS;
    // A slash behind the name is ignored.
    const std::string_view name = balancer.s->name;
    const std::string_view rest = std::string_view(proxy->p).substr(std::min(name.size(), std::strlen(proxy->p)));
    return ap_cstr_casecmpn(proxy->p, name.data(), name.size()) == 0 && (rest.empty() || rest == "/");
}

Settings settings_for(const proxy_balancer& balancer, const proxy_server_conf& configuration) {
    Settings settings;
    const apr_array_header_t* sections = configuration.sec_proxy;
    for (int i = 0; i < sections->nelts; ++i) {
        auto* section = reinterpret_cast<ap_conf_vector_t**>(sections->elts)[i];
        if (section_names(section, balancer)) settings = settings.merged_with(settings_in(section));
    }
    return settings;
}

}  // namespace lbsticky
