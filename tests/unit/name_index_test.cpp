#include "core/name_index.hpp"

#include <string>
#include <vector>

#include "catch.hpp"

namespace lbsticky {
namespace {

std::vector<std::string> names(std::size_t number) {
    std::vector<std::string> result;
    for (std::size_t i = 0; i < number; ++i) result.push_back("node" + std::to_string(i));
    return result;
}

}  // namespace

TEST_CASE("an index without names finds nobody", "[name_index]") {
    const NameIndex index(0);
    CHECK(!index.find("node0"));
    CHECK(!index.find(""));
    CHECK(!index.find({}));
}

// From 1 to 130 names, and the most there can be: tables of all sizes, a quarter to a half full, where names collide
// and wrap around the end.
TEST_CASE("every name is found, and no other", "[name_index]") {
    std::vector<std::size_t> numbers{65'535};
    for (std::size_t number = 1; number <= 130; ++number) numbers.push_back(number);
    for (const std::size_t number : numbers) {
        CAPTURE(number);
        const auto known = names(number);
        NameIndex index(number);
        for (std::size_t i = 0; i < number; ++i) index.add(known[i], static_cast<std::uint16_t>(i));
        std::size_t found = 0;
        std::size_t strangers = 0;
        for (std::size_t i = 0; i < number; ++i) {
            found += index.find(std::string("node" + std::to_string(i))) == i;
            strangers += index.find("Node" + std::to_string(i)).has_value();
        }
        CHECK(found == number);
        CHECK(strangers == 0);
    }
}

TEST_CASE("names are compared whole, as bytes", "[name_index]") {
    const std::vector<std::string> known{"node", "node1", std::string("node\0", 5), "\xff"};
    NameIndex index(known.size());
    for (std::size_t i = 0; i < known.size(); ++i) index.add(known[i], static_cast<std::uint16_t>(i));
    for (std::size_t i = 0; i < known.size(); ++i) CHECK(index.find(known[i]) == i);
    CHECK(!index.find("nod"));
    CHECK(!index.find("node12"));
    CHECK(!index.find(std::string_view("node\0\0", 6)));
    CHECK(!index.find(""));
}

TEST_CASE("a name belongs to the first worker that has it, until its owner is changed", "[name_index]") {
    NameIndex index(2);
    std::uint16_t& owner = index.add("node1", 1);
    CHECK(owner == 1);
    CHECK(index.add("node1", 2) == 1);
    CHECK(index.find("node1") == std::size_t{1});
    owner = 2;
    CHECK(index.find("node1") == std::size_t{2});
}

}  // namespace lbsticky
