// What the balancer's own cookie says of a worker.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/worker.hpp"

namespace lbsticky {

// Shortest secret, in characters: as long as what HMAC-SHA-256 makes of it.
inline constexpr std::size_t shortest_secret = 32;

// The token that stands for an id under a secret: the first 128 bits of HMAC-SHA-256 (RFC 2104, FIPS 180-4) in
// base64url without padding (RFC 4648, section 5), 22 characters. Without the secret nobody can make one, or tell whom
// it names. But it is the same for all clients: one that comes again and again without a cookie is given those of all
// workers, and may choose among them. Throws std::runtime_error if OpenSSL cannot.
std::string token(std::string_view secret, std::string_view id);

// The values that name a worker, the one that is given to clients first: ".ID" and "ID", where ID is its cookie_id();
// with secrets one token for each and nothing else. They are kept, since making tokens costs about a microsecond each
// and rosters are built whenever a worker fails. One thread at a time.
class CookieValues {
public:
    // The secrets must outlive it; the first one signs.
    explicit CookieValues(const std::vector<std::string>& secrets) noexcept : secrets_(secrets) {}

    // Valid until the next call. Throws what token() does, std::bad_alloc.
    const std::vector<std::string>& of(const Worker& worker);

private:
    const std::vector<std::string>& secrets_;
    std::unordered_map<std::string, std::vector<std::string>> by_id_;
};

}  // namespace lbsticky
