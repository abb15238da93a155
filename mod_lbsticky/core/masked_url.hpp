// A worker's URL without its password.
#pragma once

#include <string>
#include <string_view>

namespace lbsticky {

// What stands there instead.
inline constexpr std::string_view password_mask = "XXXXXXXX";

// The URL with that in place of its password, as apr_uri_unparse() writes it: "http://user:XXXXXXXX@host". (httpd
// 2.4.71 itself shows the password, in balancer-manager and in its debug log.) For pages, metrics and logs only: ids
// and hashes are made from the URL itself. Throws std::bad_alloc.
std::string masked_url(std::string_view url);

}  // namespace lbsticky
