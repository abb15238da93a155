#include "core/words.hpp"

#include <array>

#include "catch.hpp"

namespace lbsticky {
namespace {

constexpr std::array<Word<int>, 3> numbers{{{"one", 1}, {"two", 2}, {"three", 3}}};

}  // namespace

TEST_CASE("a word is found in any case, and only as a whole", "[words]") {
    for (const auto& [word, meaning] : numbers) CHECK(find_word(numbers, word)->second == meaning);
    CHECK(find_word(numbers, "TwO")->second == 2);
    for (const std::string_view text : {"", "on", "ones", " one", "four"}) {
        CAPTURE(text);
        CHECK_FALSE(find_word(numbers, text));
    }
}

TEST_CASE("a meaning has its word, or none", "[words]") {
    CHECK(word_in(numbers, 3) == "three");
    CHECK(word_in(numbers, 4).empty());
}

TEST_CASE("a message lists all words in the order of their table", "[words]") {
    CHECK(words_of(numbers) == "one, two or three");
    CHECK(words_of(numbers, ", ") == "one, two, three");
    CHECK(words_of(numbers, " or ", "n=") == "n=one, n=two or n=three");
    CHECK(words_of(std::array<Word<int>, 2>{numbers[0], numbers[1]}) == "one or two");
    CHECK(words_of(std::array<Word<int>, 1>{numbers[0]}) == "one");
}

}  // namespace lbsticky
