// What is kept in a shared store: under which key, and as which text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lbsticky {

// The key of a session: "PREFIX:BALANCER:HASH", HASH being the SHA-256 (FIPS 180-4) of the id in hexadecimal digits, so
// that nobody who reads the store learns an id. At most longest_key bytes, all of them visible ASCII characters: of the
// balancer's name (without "balancer://") no more than 90 bytes, other characters as "_". Throws std::runtime_error if
// OpenSSL fails, std::bad_alloc.
//
// So it can be found by hand: redis-cli GET lbsticky:mycluster:$(printf %s ID | sha256sum | cut -c 1-64)
std::string store_key(std::string_view prefix, std::string_view balancer, std::string_view id);

// Of memcached's protocol.
inline constexpr std::size_t longest_key = 250;

// What is said of a session.
struct StoreEntry {
    std::string_view route;      // of its worker
    std::uint64_t written_at{};  // by the clock of who wrote it, seconds since 1970
};

// The longest text that is taken for an entry, and of anything that is taken from a store.
inline constexpr std::size_t longest_value = 1024;

// The text of an entry, "1 ROUTE TIME", 1 being its version; nothing for a route that it cannot hold: empty, over 255
// bytes, or with a blank or a control character. Throws std::bad_alloc.
std::optional<std::string> entry_text(const StoreEntry& entry);

// Reads such a text. The route is a view of it. Takes any bytes: nothing for what entry_text() does not write, and for
// other versions.
std::optional<StoreEntry> read_entry(std::string_view text) noexcept;

}  // namespace lbsticky
