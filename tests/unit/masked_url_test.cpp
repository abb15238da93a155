#include "core/masked_url.hpp"

#include <utility>

#include "catch.hpp"

namespace lbsticky {

TEST_CASE("a password in a URL is masked, and nothing else", "[masked_url]") {
    for (const auto& [url, shown] : {
             std::pair{"http://bob:secret@host:8080/path", "http://bob:XXXXXXXX@host:8080/path"},
             {"http://bob:@host", "http://bob:XXXXXXXX@host"},
             {"http://:secret@host", "http://:XXXXXXXX@host"},
             {"http://bob:se:c@ret@host", "http://bob:XXXXXXXX@host"},
             {"http://b@b:secret@host", "http://b@b:XXXXXXXX@host"},
             {"ws://bob:secret@[::1]:8080", "ws://bob:XXXXXXXX@[::1]:8080"},
             {"http://bob:secret@", "http://bob:XXXXXXXX@"},
             {"http://bob:secret@host$1/a:b@c", "http://bob:XXXXXXXX@host$1/a:b@c"},
         })
        CHECK(masked_url(url) == shown);
}

TEST_CASE("a URL without a password is shown as it is", "[masked_url]") {
    for (const char* url :
         {"", "http://host", "http://host:8080", "http://[::1]:8080/", "http://bob@host:8080", "http://host/a:b@c",
          "http://host:80?a:b@c", "http://host#a:b@c", "proxy:reverse", "bob:secret@host", "http://"})
        CHECK(masked_url(url) == url);
}

}  // namespace lbsticky
