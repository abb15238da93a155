#include "httpd/worker_ids.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <stdexcept>

#include "core/route_id.hpp"

extern "C" {
#include "apr_encode.h"
}

namespace lbsticky {

std::string token(std::string_view secret, std::string_view id) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
    unsigned length = 0;
    if (!HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
              reinterpret_cast<const unsigned char*>(id.data()), id.size(), mac.data(), &length))
        throw std::runtime_error("OpenSSL cannot compute HMAC-SHA-256");

    constexpr apr_ssize_t bytes = 16;
    std::array<char, 23> text{};  // 22 characters and a NUL
    apr_encode_base64_binary(text.data(), mac.data(), bytes, APR_ENCODE_BASE64URL, nullptr);
    return text.data();
}

const std::vector<std::string>& WorkerIds::of(const Worker& worker) {
    // Routes can be changed in balancer-manager again and again: this bounds the memory.
    constexpr std::size_t max_cached = 100'000;
    if (by_id_.size() >= max_cached) by_id_.clear();

    const std::string id = cookie_id(worker.url, worker.route);
    const auto [cached, is_new] = by_id_.try_emplace(id);
    std::vector<std::string>& ids = cached->second;
    if (!is_new && !ids.empty()) return ids;
    if (secrets_.empty()) ids = {id};
    for (const std::string& secret : secrets_) ids.push_back(token(secret, id));
    return ids;
}

}  // namespace lbsticky
