// Names that were probably meant to be the same.
#pragma once

#include <string_view>

namespace lbsticky {

// Whether two names, each of at most 64 bytes, are the same but for upper and lower case (ASCII) and one or two
// characters that are missing, added or different, and no more than half of the longer one. Takes any bytes; longer
// names are like no other. Costs O(length) and allocates nothing (E. Ukkonen, "Algorithms for approximate string
// matching", 1985: only the diagonals near the main one can hold so short a distance).
bool is_like(std::string_view a, std::string_view b) noexcept;

}  // namespace lbsticky
