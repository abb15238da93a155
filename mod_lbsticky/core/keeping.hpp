// How a session stays where it was made.
#pragma once

#include <array>
#include <string_view>

#include "core/words.hpp"

namespace lbsticky {

// By what.
enum class Keeping {
    given,   // the route that the application put into the id, if it did
    append,  // the route that the balancer puts behind it on the way to the client, and takes off on the way to the
             // member
    learn    // a table of what member gave which id
};

// The words for it, behind `route=`.
inline constexpr std::array<Word<Keeping>, 3> keeping_words{
    {{"given", Keeping::given}, {"append", Keeping::append}, {"learn", Keeping::learn}}};

constexpr std::string_view word_for(Keeping keeping) noexcept {
    return word_in(keeping_words, keeping);
}

}  // namespace lbsticky
