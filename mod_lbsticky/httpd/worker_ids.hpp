// What clients know a worker by: in the balancer's own cookie, and behind session ids that it appends routes to.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/worker.hpp"

namespace lbsticky {

// The shortest secret, in characters: as long as an HMAC-SHA-256.
inline constexpr std::size_t shortest_secret = 32;

// The token of an id under a secret: the first 128 bits of HMAC-SHA-256 (RFC 2104, FIPS 180-4) in base64url without
// padding (RFC 4648, section 5), 22 characters. Without the secret nobody can make a token, or tell which worker it
// names. But it is the same for all clients: a client that comes again and again without a cookie is given the tokens
// of all workers, and can choose among them. Throws std::runtime_error if OpenSSL fails.
std::string token(std::string_view secret, std::string_view id);

// The ids of a worker; clients are given the first. Without secrets there is one, its cookie_id(); with secrets, one
// token of that for each secret. They are cached: a token costs about a microsecond, and rosters are built whenever a
// worker fails. One thread at a time.
class WorkerIds {
public:
    // The secrets must outlive it; the first one signs.
    explicit WorkerIds(const std::vector<std::string>& secrets) noexcept : secrets_(secrets) {}

    // Valid until the next call. Throws what token() does, std::bad_alloc.
    const std::vector<std::string>& of(const Worker& worker);

private:
    const std::vector<std::string>& secrets_;
    std::unordered_map<std::string, std::vector<std::string>> by_id_;
};

}  // namespace lbsticky
