#include "core/route_id.hpp"

#include "core/hash64.hpp"
#include "core/set_cookie.hpp"

namespace lbsticky {
namespace {

std::string id_of_url(const Worker& worker) {
    constexpr char digits[] = "0123456789abcdef";
    std::string id(16, '0');
    std::uint64_t rest = hash64(worker.url);
    for (auto digit = id.rbegin(); digit != id.rend(); ++digit, rest >>= 4) *digit = digits[rest & 0xf];
    return id;
}

}  // namespace

std::string route_id(const Worker& worker) {
    return worker.route.empty() ? id_of_url(worker) : worker.route;
}

std::string cookie_id(const Worker& worker) {
    return worker.route.empty() || !is_cookie_value(worker.route) ? id_of_url(worker) : worker.route;
}

}  // namespace lbsticky
