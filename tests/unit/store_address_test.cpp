#include "store/address.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

namespace lbsticky {
namespace {

using Words = std::vector<std::string_view>;

// What is wrong with these words; the settings are then unchanged.
std::string refusal(const Words& words) {
    StoreSettings settings;
    settings.host = "untouched";
    const auto sentence = read_store(settings, words);
    if (sentence) CHECK(settings.host == "untouched");
    return sentence.value_or("");
}

StoreSettings settings_of(const Words& words) {
    StoreSettings settings;
    CHECK(read_store(settings, words) == std::nullopt);
    return settings;
}

}  // namespace

TEST_CASE("an address says which store it is, where, and who asks", "[store_address]") {
    struct {
        std::string_view url;
        StoreKind kind;
        std::string host;
        std::uint16_t port;
        std::string user;
        std::string password;
        std::uint32_t database;
        std::string text;
    } const rows[] = {
        {"redis://cache", StoreKind::redis, "cache", 6379, "", "", 0, "redis://cache"},
        {"redis://cache/", StoreKind::redis, "cache", 6379, "", "", 0, "redis://cache"},
        {"REDIS://10.0.0.1:6379/0", StoreKind::redis, "10.0.0.1", 6379, "", "", 0, "redis://10.0.0.1"},
        {"redis://cache.example:7000/12", StoreKind::redis, "cache.example", 7000, "", "", 12,
         "redis://cache.example:7000/12"},
        {"redis://:secret@cache", StoreKind::redis, "cache", 6379, "", "secret", 0, "redis://:XXXXXXXX@cache"},
        {"redis://bob:secret@cache:1/1", StoreKind::redis, "cache", 1, "bob", "secret", 1,
         "redis://bob:XXXXXXXX@cache:1/1"},
        {"redis://b%3Ab:s%40%2f%25@cache", StoreKind::redis, "cache", 6379, "b:b", "s@/%", 0,
         "redis://b%3Ab:XXXXXXXX@cache"},
        {"redis://bob:s:e@c@cache", StoreKind::redis, "cache", 6379, "bob", "s:e@c", 0, "redis://bob:XXXXXXXX@cache"},
        {"redis://[::1]", StoreKind::redis, "::1", 6379, "", "", 0, "redis://[::1]"},
        {"redis://bob:x@[fe80::1]:65535/1", StoreKind::redis, "fe80::1", 65535, "bob", "x", 1,
         "redis://bob:XXXXXXXX@[fe80::1]:65535/1"},
        {"memcached://cache", StoreKind::memcached, "cache", 11211, "", "", 0, "memcached://cache"},
        {"memcached://[::1]:1", StoreKind::memcached, "::1", 1, "", "", 0, "memcached://[::1]:1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.url);
        const StoreSettings settings = settings_of({row.url});
        CHECK(settings.kind == row.kind);
        CHECK(settings.host == row.host);
        CHECK(settings.port == row.port);
        CHECK(settings.user == row.user);
        CHECK(settings.password == row.password);
        CHECK(settings.database == row.database);
        CHECK(store_text(settings) == row.text);
    }
}

TEST_CASE("words behind an address say how it is asked", "[store_address]") {
    const StoreSettings plain = settings_of({"redis://cache"});
    CHECK(plain.timeout == std::chrono::milliseconds(20));
    CHECK(plain.prefix == "lbsticky");
    CHECK(plain.password_file.empty());

    const StoreSettings all =
        settings_of({"redis://bob@cache", "Timeout=5MS", "prefix=a-b.c_d:1", "password-file=conf/x"});
    CHECK(all.timeout == std::chrono::milliseconds(5));
    CHECK(all.prefix == "a-b.c_d:1");
    CHECK(all.password_file == "conf/x");
    CHECK(all.user == "bob");

    CHECK(settings_of({"redis://cache", "timeout=5"}).timeout == std::chrono::seconds(5));
    CHECK(settings_of({"redis://cache", "timeout=1s"}).timeout == std::chrono::seconds(1));
    CHECK(settings_of({"redis://cache", "password-file=x"}).password_file == "x");
}

TEST_CASE("a mistake in an address is told with what is allowed, and without the password", "[store_address]") {
    const std::string address = "redis://[USER:PASSWORD@]HOST[:PORT][/DB] or memcached://HOST[:PORT]";
    const std::string host =
        "HOST is a name or an address, of letters, digits and any of -._; an IPv6 address stands in "
        "brackets";
    const std::string port = "PORT is a number from 1 to 65535";
    const std::string percent = "% in a user or a password is followed by two hexadecimal digits; itself it is %25";
    struct {
        std::string_view url;
        std::string shown;
        std::string why;
    } const rows[] = {
        {"", "", address},
        {"cache", "cache", address},
        {"cache:6379", "cache:6379", address},
        {"bob:secret@cache", "bob:XXXXXXXX@cache", address},
        {"http://cache", "http://cache", address},
        {"rediss://bob:secret@cache", "rediss://bob:XXXXXXXX@cache", address + "; TLS is not available"},
        {"redis:/cache", "redis:XXXXXXXX", address},
        {"redis://", "redis://", host},
        {"redis://bob:secret@", "redis://bob:XXXXXXXX@", host},
        {"redis://ca che", "redis://ca che", host},
        {"redis://::1", "redis://:XXXXXXXX", host},
        {"redis://cache:", "redis://cache:", port},
        {"redis://cache:0", "redis://cache:0", port},
        {"redis://cache:65536", "redis://cache:65536", port},
        {"redis://bob:secret", "redis://bob:XXXXXXXX", port},
        {"redis://bob:secret:6379", "redis://bob:XXXXXXXX", port},
        {"redis://[::1]x", "redis://[::1]x", port},
        {"redis://[::1", "redis://[::1", "an IPv6 address stands in brackets, [::1]"},
        {"redis://[::g]", "redis://[::g]", "what stands in brackets is no IPv6 address"},
        {"redis://cache/x", "redis://cache/x", "DB is a number from 0 to 65535"},
        {"redis://cache/-1", "redis://cache/-1", "DB is a number from 0 to 65535"},
        {"redis://cache/1/2", "redis://cache/1/2", "DB is a number from 0 to 65535"},
        {"redis://cache/65536", "redis://cache/65536", "DB is a number from 0 to 65535"},
        {"redis://bob:@cache", "redis://bob:XXXXXXXX@cache", "the password is empty"},
        {"redis://@cache", "redis://@cache", "the user is empty"},
        {"redis://bob:a%4@cache", "redis://bob:XXXXXXXX@cache", percent},
        {"redis://bob:a%zz@cache", "redis://bob:XXXXXXXX@cache", percent},
        {"redis://b%:a@cache", "redis://b%:XXXXXXXX@cache", percent},
        {"redis://bob:a/b@cache", "redis://bob:XXXXXXXX@cache",
         "in a user and a password / is written %2F, ? is %3F, # is %23"},
        {"redis://bob@cache", "redis://bob@cache", "a user needs a password: USER:PASSWORD@, or password-file="},
        {"memcached://bob:secret@cache", "memcached://bob:XXXXXXXX@cache", "memcached takes no user and no password"},
        {"memcached://cache/1", "memcached://cache/1", "memcached has no databases"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.url);
        CHECK(refusal({row.url}) == "'" + row.shown + "' is not allowed: " + row.why);
    }
    CHECK(refusal({}) ==
          "it takes redis://[USER:PASSWORD@]HOST[:PORT][/DB] or memcached://HOST[:PORT], then timeout=, prefix=, "
          "password-file=");
}

TEST_CASE("a mistake in a word is told with what is allowed", "[store_address]") {
    const auto wrong = [](std::string_view word) { return refusal({"redis://cache", word}); };
    const std::string time = "timeout takes a number with ms, or seconds; at least 1ms, at most 5s";
    for (const std::string value :
         {"", "0", "0ms", "-1ms", "20m", "20 ms", "6", "5001ms", "1.5s", "99999999999999999999"})
        CHECK(wrong("timeout=" + value) == "'timeout=" + value + "' is not allowed: " + time);
    for (const std::string value : {"", "a b", "a/b", "\xc3\xa4", "123456789012345678901234567890123"})
        CHECK(wrong("prefix=" + value) ==
              "'prefix=" + value + "' is not allowed: prefix takes 1 to 32 letters, digits and any of -._:");
    CHECK(wrong("password-file=") == "'password-file=' is not allowed: password-file takes the path of a file");
    // What is behind an unknown key may be a password.
    const std::string keys = " is not allowed: timeout=, prefix= or password-file= follow the address";
    CHECK(wrong("password=secret") == "'password='" + keys);
    CHECK(wrong("timeout") == "'timeout'" + keys);
    CHECK(wrong("redis://other") == "'redis://other'" + keys);
    CHECK(wrong("") == "''" + keys);
}

TEST_CASE("words that contradict each other are refused", "[store_address]") {
    CHECK(refusal({"redis://cache", "timeout=1ms", "timeout=2ms"}) ==
          "'timeout=2ms' is not allowed: timeout= stands there already");
    CHECK(refusal({"redis://bob:secret@cache", "password-file=x"}) ==
          "'password-file=x' is not allowed: the address has a password already");
    CHECK(refusal({"memcached://cache", "password-file=x"}) ==
          "'password-file=x' is not allowed: memcached takes no user and no password");
}

}  // namespace lbsticky
