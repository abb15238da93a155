#include "store/entry.hpp"

#include <string>

#include "catch.hpp"

namespace lbsticky {

TEST_CASE("a key names prefix and balancer, and hides the id", "[store_entry]") {
    // printf %s abc | sha256sum (FIPS 180-4, example B.1)
    CHECK(store_key("lbsticky", "mycluster", "abc") ==
          "lbsticky:mycluster:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(store_key("p", "b", "") == "p:b:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("a key is one that every store takes, whatever the names are", "[store_entry]") {
    CHECK(store_key("p", "a b\r\n\xc3\xa4\x7f", "abc").starts_with("p:a_b_____:ba78"));
    const std::string longest = store_key(std::string(1000, 'p'), std::string(1000, 'b'), std::string(10'000, 'i'));
    CHECK(longest.size() <= longest_key);
    CHECK(longest.find_first_of(" \t\r\n") == std::string::npos);
}

TEST_CASE("what is written of a session is read again", "[store_entry]") {
    for (const std::string& route : {std::string("node1"), std::string("\xc3\xa4"), std::string(255, 'r')})
        for (const std::uint64_t time : {std::uint64_t{0}, std::uint64_t{1'800'000'000}, ~std::uint64_t{0}}) {
            const auto text = entry_text({route, time});
            REQUIRE(text);
            const auto entry = read_entry(*text);
            REQUIRE(entry);
            CHECK(entry->route == route);
            CHECK(entry->written_at == time);
        }
    CHECK(entry_text({"node1", 17}) == "1 node1 17");
}

TEST_CASE("a route that would not be read again is not written", "[store_entry]") {
    for (const std::string& route :
         {std::string(), std::string("a b"), std::string("a\n"), std::string("\x7f"), std::string(256, 'r')}) {
        CAPTURE(route);
        CHECK(entry_text({route, 17}) == std::nullopt);
    }
}

TEST_CASE("what is no entry of this version is none", "[store_entry]") {
    for (const std::string text : {"",
                                   "1",
                                   "1 ",
                                   "1 node1",
                                   "1 node1 ",
                                   "1  17",
                                   "1 node1  17",
                                   "1 node1 17 ",
                                   "1 node1 x",
                                   "1 node1 -1",
                                   "1 node1 +1",
                                   "1 node1 017",
                                   "1 node1 17 5",
                                   "1 node1 18446744073709551616",
                                   "2 node1 17",
                                   "10 node1 17",
                                   " 1 node1 17",
                                   "node1",
                                   "1\tnode1\t17",
                                   "1 no\x01"
                                   "de 17"}) {
        CAPTURE(text);
        CHECK_FALSE(read_entry(text));
    }
    CHECK_FALSE(read_entry("1 " + std::string(256, 'r') + " 17"));
    CHECK_FALSE(read_entry("1 node1 " + std::string(100'000, '1')));
    CHECK_FALSE(read_entry(std::string("1 no\0de 17", 10)));
}

}  // namespace lbsticky
