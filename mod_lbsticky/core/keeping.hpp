// How a session stays where it was made.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace lbsticky {

// Who puts the route into a session id, behind a separator.
enum class Keeping {
    given,  // the application, if anybody
    append  // the balancer, on the way to the client; it takes it off on the way to the member
};

// The words for it, behind `route=`.
inline constexpr std::array<std::pair<std::string_view, Keeping>, 2> keeping_words{
    {{"given", Keeping::given}, {"append", Keeping::append}}};

}  // namespace lbsticky
