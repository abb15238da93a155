#include "core/hash64.hpp"

#include "catch.hpp"

namespace lbsticky {

// Published for FNV-1a and MurmurHash3; put together by an independent program. They may never change: front ends of
// different versions would no longer agree, and an upgrade would move sessions.
TEST_CASE("hashes of names are the same for all time and on every machine", "[hash64]") {
    CHECK(mix64(0) == 0);
    CHECK(mix64(1) == 0xb456bcfc34c2cb2cULL);
    CHECK(mix64(~0ULL) == 0x64b5720b4b825f21ULL);
    CHECK(hash64("") == 0xefd01f60ba992926ULL);
    CHECK(hash64("a") == 0x82a2a958a9bece5bULL);
    CHECK(hash64("foobar") == 0x2c22194922d1672bULL);
    CHECK(hash64("http://127.0.0.1:8081") == 0x0ceecc9cff13c3bcULL);
}

TEST_CASE("bytes above 0x7f and NUL are hashed as what they are", "[hash64]") {
    CHECK(hash64(std::string_view("\xff\x80\x00", 3)) == 0x076c6816bfa6e900ULL);
    CHECK(hash64(std::string_view("\0", 1)) != hash64(std::string_view("\0\0", 2)));
}

TEST_CASE("hashes can be computed by the compiler", "[hash64]") {
    static_assert(hash64("node1") == 0x59a32cdbd8ec99f9ULL);
    SUCCEED();
}

}  // namespace lbsticky
