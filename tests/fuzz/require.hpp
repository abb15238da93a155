// How a fuzz target checks its properties.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

// Ends the program if the property does not hold, so that the fuzzer keeps the input.
inline void require(bool holds, const char* property) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", property);
    std::abort();
}

// Whether `part` is a piece of the memory of `whole`. An empty view without an address lies in anything.
inline bool lies_in(std::string_view part, std::string_view whole) {
    if (part.data() == nullptr) return part.empty();
    return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}
