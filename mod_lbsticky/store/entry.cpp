#include "store/entry.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

namespace lbsticky {
namespace {

constexpr std::string_view version = "1 ";

bool is_route(std::string_view text) noexcept {
    constexpr std::size_t longest = 255;
    const auto is_allowed = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; };
    return !text.empty() && text.size() <= longest && std::all_of(text.begin(), text.end(), is_allowed);
}

}  // namespace

std::string store_key(std::string_view prefix, std::string_view balancer, std::string_view id) {
    constexpr std::size_t longest_part = 90;
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned length = 0;
    if (!EVP_Digest(id.data(), id.size(), hash.data(), &length, EVP_sha256(), nullptr))
        throw std::runtime_error("OpenSSL cannot compute SHA-256");

    std::string key;
    for (const std::string_view part : {prefix, balancer}) {
        for (const char c : part.substr(0, longest_part)) key += c > ' ' && c < 0x7f ? c : '_';
        key += ':';
    }
    constexpr std::string_view hex = "0123456789abcdef";
    for (unsigned i = 0; i < length; ++i) key.append({hex[hash[i] >> 4U], hex[hash[i] & 15U]});
    return key;
}

std::optional<std::string> entry_text(const StoreEntry& entry) {
    if (!is_route(entry.route)) return std::nullopt;
    return std::string(version).append(entry.route).append(" ").append(std::to_string(entry.written_at));
}

std::optional<StoreEntry> read_entry(std::string_view text) noexcept {
    if (text.size() > longest_value || !text.starts_with(version)) return std::nullopt;
    text.remove_prefix(version.size());
    const auto blank = text.find(' ');
    if (blank == text.npos || !is_route(text.substr(0, blank))) return std::nullopt;
    StoreEntry entry{text.substr(0, blank), 0};
    const std::string_view time = text.substr(blank + 1);
    const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), entry.written_at);
    const bool is_as_written = time == "0" || !time.starts_with('0');
    if (error != std::errc() || end != time.data() + time.size() || !is_as_written) return std::nullopt;
    return entry;
}

}  // namespace lbsticky
