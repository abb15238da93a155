#include "core/masked_url.hpp"

namespace lbsticky {

std::string masked_url(std::string_view url) {
    std::string masked(url);
    const auto scheme_end = url.find("://");
    if (scheme_end == url.npos) return masked;
    const auto begin = scheme_end + 3;
    const std::string_view authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
    // The password is between them. It may contain both characters, a user's name an "@"; a host has no "@".
    const auto colon = authority.find(':');
    const auto at = authority.rfind('@');
    if (at == authority.npos || colon > at) return masked;
    return masked.replace(begin + colon + 1, at - colon - 1, password_mask);
}

}  // namespace lbsticky
