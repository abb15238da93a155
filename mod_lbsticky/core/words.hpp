// The words that a configuration may have in one place, and what they mean: tables of pairs, the word first.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/ascii.hpp"

namespace lbsticky {

// A word and its meaning.
template <typename Meaning>
using Word = std::pair<std::string_view, Meaning>;

// The entry of a word, in any case; null if there is none.
template <typename Table>
constexpr const typename Table::value_type* find_word(const Table& table, std::string_view text) noexcept {
    for (const auto& entry : table)
        if (equal_ignoring_case(entry.first, text)) return &entry;
    return nullptr;
}

// The word with that meaning; empty if there is none.
template <typename Table, typename Meaning>
constexpr std::string_view word_in(const Table& table, Meaning meaning) noexcept {
    for (const auto& [word, meant] : table)
        if (meant == meaning) return word;
    return {};
}

// All words, for a message: "a, b or c", with other text before the last one and before each. Throws std::bad_alloc.
template <typename Table>
std::string words_of(const Table& table, std::string_view before_last = " or ", std::string_view before_each = {}) {
    std::string list;
    for (const auto& entry : table) {
        if (!list.empty()) list.append(&entry == &table.back() ? before_last : ", ");
        list.append(before_each).append(entry.first);
    }
    return list;
}

}  // namespace lbsticky
