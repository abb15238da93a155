#include "core/likeness.hpp"

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

// is_like() by its definition: the whole table of V. Levenshtein's distance.
bool is_like_by_definition(std::string a, std::string b) {
    for (std::string* text : {&a, &b})
        for (char& c : *text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i)
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            const std::size_t same = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            table[i][j] = std::min({same, table[i - 1][j] + 1, table[i][j - 1] + 1});
        }
    return table[a.size()][b.size()] <= std::min<std::size_t>(2, std::max(a.size(), b.size()) / 2);
}

}  // namespace

TEST_CASE("names are alike if they differ only in case and a character or two", "[likeness]") {
    CHECK(is_like("JSESSIONID", "jsessionid"));
    CHECK(is_like("node1", "Node1"));
    CHECK(is_like("node1", "node11"));
    CHECK(is_like("node1", "nod1"));
    CHECK(is_like("PHPSESSID", "PHPSESSIONID") == false);
    CHECK(is_like("PHPSESSID", "PHPSESSI"));
    CHECK(is_like("node1", "noed1"));
    CHECK_FALSE(is_like("node1", "server1"));
    CHECK_FALSE(is_like("a", "b"));
    CHECK_FALSE(is_like("", "ab"));
    CHECK(is_like("", ""));
    CHECK(is_like(std::string(64, 'x'), std::string(63, 'X') + "y"));
    CHECK_FALSE(is_like(std::string(65, 'x'), std::string(65, 'x')));
}

TEST_CASE("is_like() agrees with the definition for any two names", "[likeness]") {
    Numbers numbers(1);
    std::size_t alike = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string a(numbers.next(0, 9), 'a'), b;
        for (char& c : a) c = "abAB"[numbers.next(0, 3)];
        b = a;
        for (std::uint32_t edits = numbers.next(0, 4); edits > 0; --edits) {
            const std::size_t at = numbers.next(0, static_cast<std::uint32_t>(b.size()));
            const std::uint32_t how = numbers.next(0, 2);
            if (how == 0) b.insert(at, 1, "abAB"[numbers.next(0, 3)]);
            if (how == 1 && at < b.size()) b.erase(at, 1);
            if (how == 2 && at < b.size()) b[at] = "abAB"[numbers.next(0, 3)];
        }
        CAPTURE(a, b);
        CHECK(is_like(a, b) == is_like_by_definition(a, b));
        alike += is_like(a, b);
    }
    CHECK(alike > 2000);
    CHECK(alike < 18000);
}

}  // namespace lbsticky
