// Escapes text from configuration and clients for pages and formats.
#pragma once

#include <string>
#include <string_view>

namespace lbsticky {

// All functions take any bytes. Each byte that is not UTF-8 (RFC 3629) becomes U+FFFD, and so does a control character
// where the format cannot write it. They throw std::bad_alloc.

// For text and attributes of HTML and XML, in pages of any charset: characters beyond ASCII are written as numbers.
std::string escape_markup(std::string_view text);

// A string in JSON (RFC 8259), with the quotes.
std::string json_string(std::string_view text);

// For label values in Prometheus' text format and OpenMetrics, without the quotes.
std::string escape_label(std::string_view text);

}  // namespace lbsticky
