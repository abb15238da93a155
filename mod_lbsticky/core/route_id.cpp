#include "core/route_id.hpp"

#include "core/hash64.hpp"
#include "core/set_cookie.hpp"

namespace lbsticky {
namespace {

std::string id_of_url(std::string_view url) {
    constexpr char digits[] = "0123456789abcdef";
    std::string id(16, '0');
    std::uint64_t rest = hash64(url);
    for (auto digit = id.rbegin(); digit != id.rend(); ++digit, rest >>= 4) *digit = digits[rest & 0xf];
    return id;
}

}  // namespace

std::string route_id(std::string_view url, std::string_view route) {
    return route.empty() ? id_of_url(url) : std::string(route);
}

std::string cookie_id(std::string_view url, std::string_view route) {
    return route_id(url, is_cookie_value(route) ? route : "");
}

}  // namespace lbsticky
