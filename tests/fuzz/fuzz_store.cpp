// Fuzzes with any bytes as the words of LBStickyStore, a line each, as the value of a key, and as a session's id.

#include <algorithm>
#include <string>
#include <vector>

#include "require.hpp"
#include "store/address.hpp"
#include "store/entry.hpp"

namespace lbsticky {
namespace {

bool is_visible(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (true) {
        const auto end = text.find('\n');
        lines.push_back(text.substr(0, end));
        if (end == text.npos) return lines;
        text.remove_prefix(end + 1);
    }
}

void check_accepted(const StoreSettings& settings) {
    require(!settings.host.empty() && settings.host.size() <= 253, "there is a host");
    require(settings.port != 0, "there is a port");
    require(settings.timeout.count() >= 1 && settings.timeout.count() <= 5000, "a timeout is within its bounds");
    require(!settings.prefix.empty() && settings.prefix.size() <= 32, "there is a prefix");
    require(settings.kind == StoreKind::redis ||
                (settings.user.empty() && settings.password.empty() && settings.database == 0),
            "memcached has neither users nor databases");

    const std::string text = store_text(settings);
    require(is_visible(text), "an address is shown in visible characters");
    require(store_key(settings.prefix, settings.host, "id").size() <= longest_key, "a key is one that is taken");

    // The text is an address itself: the same one, with another password.
    StoreSettings again;
    std::vector<std::string_view> words{text};
    if (!settings.user.empty() && settings.password.empty()) words.emplace_back("password-file=x");
    require(!read_store(again, words), "what is shown of an address is one");
    require(again.kind == settings.kind && again.host == settings.host && again.port == settings.port &&
                again.user == settings.user && again.database == settings.database &&
                again.password.empty() == settings.password.empty(),
            "it is the same one");
}

void check_address(std::string_view text) {
    StoreSettings settings;
    settings.host = "untouched";
    const auto words = lines_of(text);
    const auto mistake = read_store(settings, words);
    if (!mistake) return check_accepted(settings);
    require(settings.host == "untouched" && settings.port == 0, "with a mistake nothing is changed");
    require(!mistake->empty(), "a mistake is told");
}

// Whatever is wrong with the rest, a password that stands where one is due is not shown.
void check_no_password_is_shown(std::string_view text) {
    constexpr std::string_view secret = "Geheimnis";
    std::string url = "redis://bob:";
    url.append(secret).append(text.substr(0, text.find('\n'))).append("@host");
    std::vector<std::string_view> words = lines_of(text);
    words.front() = url;
    StoreSettings settings;
    const auto mistake = read_store(settings, words);
    const std::string shown = mistake ? *mistake : store_text(settings);
    require(text.find("Geh") != text.npos || shown.find(secret) == shown.npos, "a password is not shown");
}

void check_entry(std::string_view text) {
    const auto entry = read_entry(text);
    if (!entry) return;
    require(text.size() <= longest_value, "an entry is not too long");
    require(lies_in(entry->route, text) && !entry->route.empty(), "a route lies in the value");
    require(entry_text(*entry) == text, "what is read is what is written");
}

void check_key(std::string_view id) {
    const std::string key = store_key("lbsticky", id, id);
    require(key.size() <= longest_key && is_visible(key), "a key is one that every store takes");
    require(id.size() < 8 || key.substr(key.rfind(':')).find(id) == key.npos, "an id is not in the store");
}

void check_route(std::string_view route) {
    const auto text = entry_text({route, route.size()});
    if (!text) return;
    const auto entry = read_entry(*text);
    require(entry && entry->route == route && entry->written_at == route.size(), "what is written can be read");
}

}  // namespace
}  // namespace lbsticky

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace lbsticky;
    // A copy in memory of its own, so that a sanitizer notices a read behind its end.
    const std::vector<char> bytes(data, data + size);
    const std::string_view input(bytes.data(), bytes.size());

    check_address(input);
    check_no_password_is_shown(input);
    check_entry(input);
    check_key(input);
    check_route(input);
    return 0;
}
