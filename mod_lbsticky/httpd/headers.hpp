// Headers in httpd's tables, of which there may be several with one name.
#pragma once

#include <cstring>
#include <span>

#include "httpd/apache.hpp"

namespace lbsticky {

// Whether a header has that name. Most are written as here, which strcmp() finds sooner.
inline bool is_called(const char* header, const char* name) noexcept {
    return std::strcmp(header, name) == 0 || ap_cstr_casecmp(header, name) == 0;
}

// The entries of a table of headers, in their order; the values may be replaced.
inline std::span<apr_table_entry_t> entries_of(const apr_table_t* table) noexcept {
    const apr_array_header_t* headers = apr_table_elts(table);
    return {reinterpret_cast<apr_table_entry_t*>(headers->elts), static_cast<std::size_t>(headers->nelts)};
}

// Whether an entry is a header of that name, which begins with a letter.
inline bool is_header_called(const apr_table_entry_t& header, const char* name) noexcept {
    // The first letter (no name here begins with anything else) tells most of them apart.
    const bool may_be = header.key && ((header.key[0] ^ name[0]) & ~0x20) == 0;
    return may_be && header.val && is_called(header.key, name);
}

// Calls visit(value) for each header of that name.
template <typename Visit>
void for_each_header(const apr_table_t* table, const char* name, Visit&& visit) {
    for (const apr_table_entry_t& header : entries_of(table))
        if (is_header_called(header, name)) visit(header.val);
}

}  // namespace lbsticky
