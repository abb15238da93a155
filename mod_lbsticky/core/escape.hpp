// Text from configuration and clients, made fit to stand in a page or a format.
#pragma once

#include <string>
#include <string_view>

namespace lbsticky {

// All of them take any bytes. What is not UTF-8 (RFC 3629), byte by byte, becomes U+FFFD; so do control characters
// where the format has no way to write them. They throw std::bad_alloc.

// For text and attributes of HTML and XML, in pages of any charset: what is not ASCII is written as a number.
std::string escape_markup(std::string_view text);

// For strings in JSON (RFC 8259), without the quotes.
std::string escape_json(std::string_view text);

// For label values in Prometheus' text format and OpenMetrics, without the quotes.
std::string escape_label(std::string_view text);

}  // namespace lbsticky
