#include "core/likeness.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/ascii.hpp"

namespace lbsticky {
namespace {

constexpr std::size_t longest = 64;
constexpr std::size_t most_edits = 2;

}  // namespace

bool is_like(std::string_view a, std::string_view b) noexcept {
    if (a.size() > b.size()) std::swap(a, b);
    if (b.size() > longest || b.size() - a.size() > most_edits) return false;

    // distances[j]: the fewest edits that make the first j characters of b of the first i of a.
    std::array<std::size_t, longest + 1> distances{};
    for (std::size_t j = 0; j <= b.size(); ++j) distances[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        const std::size_t first = i > most_edits ? i - most_edits : 1;
        const std::size_t last = std::min(b.size(), i + most_edits);
        std::size_t diagonal = distances[first - 1];
        distances[first - 1] = first == 1 ? i : most_edits + 1;
        for (std::size_t j = first; j <= last; ++j) {
            const std::size_t same = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
            diagonal = distances[j];
            const std::size_t above = j == i + most_edits ? most_edits + 1 : distances[j] + 1;
            distances[j] = std::min({same, above, distances[j - 1] + 1});
        }
    }
    return distances[b.size()] <= std::min(most_edits, b.size() / 2);
}

}  // namespace lbsticky
