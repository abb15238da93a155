#include "core/hash64.hpp"

#include "catch.hpp"

namespace lbsticky {

// Computed by an independent program, which gives the value that SMHasher publishes for MurmurHash64A. They may never
// change: front ends of different versions would no longer agree, and an upgrade would move sessions.
TEST_CASE("hashes of names are the same for all time and on every machine", "[hash64]") {
    CHECK(mix64(0) == 0);
    CHECK(mix64(1) == 0xb456bcfc34c2cb2cULL);
    CHECK(mix64(~0ULL) == 0x64b5720b4b825f21ULL);
    CHECK(hash64("") == 0x0000000000000000ULL);
    CHECK(hash64("a") == 0x071717d2d36b6b11ULL);
    CHECK(hash64("foobar") == 0xd49f461720d7a196ULL);
    CHECK(hash64("12345678") == 0x758f67d162b2d202ULL);
    CHECK(hash64("http://127.0.0.1:8081") == 0x82d376010a9b75fcULL);
}

TEST_CASE("bytes above 0x7f and NUL are hashed like any others", "[hash64]") {
    CHECK(hash64(std::string_view("\xff\x80\x00", 3)) == 0x298668bd2723515fULL);
    CHECK(hash64(std::string_view("\0", 1)) != hash64(std::string_view("\0\0", 2)));
}

TEST_CASE("hashes can be computed by the compiler", "[hash64]") {
    static_assert(hash64("node1") == 0x413f0e8010fcf0beULL);
    SUCCEED();
}

}  // namespace lbsticky
