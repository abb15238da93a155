// Where a shared store is and how it is spoken to: the words of LBStickyStore.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lbsticky {

enum class StoreKind { redis, memcached };

// What LBStickyStore says, with its defaults.
struct StoreSettings {
    StoreKind kind = StoreKind::redis;
    std::string host;  // a name or an address; IPv6 without brackets
    std::uint16_t port = 0;
    std::string user;      // decoded; empty: none
    std::string password;  // decoded; empty: none
    std::uint32_t database = 0;
    std::chrono::milliseconds timeout{20};  // that a request waits for at most
    std::string prefix = "lbsticky";        // of all keys
    std::string password_file;              // empty: none. Who reads the settings puts its password into them
};

// Reads the words of the directive:
//
//     redis://[USER:PASSWORD@]HOST[:PORT][/DB] | memcached://HOST[:PORT]  [timeout=20ms] [prefix=lbsticky]
//     redis://[USER@]HOST[:PORT][/DB]  password-file=PATH                 [timeout=20ms] [prefix=lbsticky]
//
// USER and PASSWORD are percent-decoded (RFC 3986, section 2.1); without a user it is redis://:PASSWORD@HOST. An IPv6
// address stands in brackets. Returns nothing on success, else a sentence that names the word and says what is allowed,
// without the password; the settings are then unchanged. Takes any bytes; memory in proportion to them. Throws
// std::bad_alloc.
std::optional<std::string> read_store(StoreSettings& settings, std::span<const std::string_view> words);

// The address for logs and reports, "redis://bob:XXXXXXXX@host:6379/1", what is after the host only where it is not the
// default. The user is as it is encoded in a URL, so that it is of visible ASCII characters. Throws std::bad_alloc.
std::string store_text(const StoreSettings& settings);

}  // namespace lbsticky
