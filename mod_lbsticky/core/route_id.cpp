#include "core/route_id.hpp"

#include "core/hash64.hpp"

namespace lbsticky {

std::string route_id(const Worker& worker) {
    if (!worker.route.empty()) return worker.route;

    constexpr char digits[] = "0123456789abcdef";
    std::string id(16, '0');
    std::uint64_t rest = hash64(worker.url);
    for (auto digit = id.rbegin(); digit != id.rend(); ++digit, rest >>= 4) *digit = digits[rest & 0xf];
    return id;
}

}  // namespace lbsticky
