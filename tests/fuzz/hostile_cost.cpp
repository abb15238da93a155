// `hostile_cost WHAT BYTES` reads one hostile request of so many bytes. Its caller counts what that costs.
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "core/affinity.hpp"
#include "core/set_cookie.hpp"

namespace {

using namespace lbsticky;

std::string repeated(std::string_view part, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += part;
    return text;
}

// A piece that is sent again and again, and where it stands.
struct Hostile {
    const char* piece;
    enum class Where { cookie, url, set_cookie } where;
};

const std::map<std::string, Hostile> inputs = {
    {"cookies-with-commas", {"s=a,", Hostile::Where::cookie}},
    {"cookies-with-semicolons", {"s=a;", Hostile::Where::cookie}},
    {"own-cookies-with-commas", {"lbsticky=a,", Hostile::Where::cookie}},
    {"empty-cookies", {"s=,", Hostile::Where::cookie}},
    {"names-without-values", {"s ", Hostile::Where::cookie}},
    {"names-that-run-on", {"s", Hostile::Where::cookie}},
    {"beginnings-of-the-own-name", {"lbstick", Hostile::Where::cookie}},
    {"first-and-last-letters-of-the-own-name", {"lxxxxxxylbsticky ", Hostile::Where::cookie}},
    {"blanks", {" ", Hostile::Where::cookie}},
    {"blanks-and-names", {"s        ", Hostile::Where::cookie}},
    {"separators", {".", Hostile::Where::cookie}},
    {"one-id-of-routes", {".node1", Hostile::Where::cookie}},
    {"parameters", {";p=", Hostile::Where::url}},
    {"parameters-of-the-query", {"?p=&p", Hostile::Where::url}},
    {"names-of-parameters", {"p", Hostile::Where::url}},
    {"attributes", {"; Max-Age", Hostile::Where::set_cookie}},
    {"semicolons-of-attributes", {";", Hostile::Where::set_cookie}},
    {"blanks-of-attributes", {"; =  ", Hostile::Where::set_cookie}},
};

void read(const Hostile& input, std::size_t bytes) {
    const std::string text = repeated(input.piece, bytes);
    if (input.where == Hostile::Where::set_cookie) {
        read_set_cookie("s=1" + text, "s");
        return;
    }
    std::vector<Worker> workers(2);
    workers[0].route = "node1";
    workers[1].route = "node2";
    Roster roster(workers);
    for (const ParsingRules how : {ParsingRules::strict, ParsingRules::stickysession}) {
        const SessionName names[] = {{"s", "p", how}};
        Rules rules;
        rules.names = names;
        rules.cookie_name = "lbsticky";
        RequestText request;
        const std::string cookie = input.piece[0] == '.' ? "s=x" + text : text;
        (input.where == Hostile::Where::cookie ? request.cookies : request.url) = cookie;
        const Claims claims = read_claims(request, rules);
        std::atomic<std::uint64_t> next{0};
        Tickets tickets(next);
        choose(claims, rules, roster, tickets);
        std::vector<char> kept(cookie.size());
        without_cookie(cookie, "lbsticky", kept.data());
        without_cookie(cookie, "s", kept.data());
        find_like_cookie(cookie, "lbsticky");
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 1) {
        for (const auto& [name, input] : inputs) std::cout << name << "\n";
        return 0;
    }
    const auto input = count == 3 ? inputs.find(arguments[1]) : inputs.end();
    if (input == inputs.end()) return 2;
    read(input->second, std::strtoul(arguments[2], nullptr, 10));
    return 0;
}
