#include "core/processes.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <set>
#include <vector>

#include "catch.hpp"
#include "support.hpp"

namespace lbsticky {
namespace {

class Table {
public:
    explicit Table(std::uint16_t columns)
        : memory_(Processes::bytes(columns)), table_(Processes::create(memory_.address(), columns)) {}

    Processes* operator->() const noexcept { return table_; }

private:
    SharedMemory memory_;
    Processes* table_;
};

}  // namespace

TEST_CASE("each process has a column of its own until it is given away", "[processes]") {
    const Table table(3);
    CHECK(table->columns() == 3);
    CHECK_FALSE(table->column_of(100));
    CHECK(table->claim(100) == 0);
    CHECK(table->claim(200) == 1);
    CHECK(table->claim(300) == 2);
    CHECK(table->column_of(100) == 0);
    CHECK(table->column_of(200) == 1);
    CHECK(table->column_of(300) == 2);
    CHECK_FALSE(table->column_of(400));
}

TEST_CASE("in a full table there is no column, and nobody loses one", "[processes]") {
    const Table table(2);
    table->claim(100);
    table->claim(200);
    CHECK_FALSE(table->claim(300));
    CHECK_FALSE(table->column_of(300));
    CHECK(table->column_of(100) == 0);
    CHECK(table->column_of(200) == 1);
}

TEST_CASE("a column that was given away is the next one's", "[processes]") {
    const Table table(3);
    for (const std::int64_t process : {100, 200, 300}) table->claim(process);
    table->release(1);
    CHECK_FALSE(table->column_of(200));
    CHECK(table->column_of(100) == 0);
    CHECK(table->column_of(300) == 2);
    CHECK(table->claim(400) == 1);
    CHECK(table->column_of(400) == 1);
    CHECK_FALSE(table->claim(500));
    table->release(2);
    table->release(0);
    CHECK(table->claim(500) == 0);
    CHECK(table->claim(200) == 2);
}

TEST_CASE("ids of processes may be as large as a system has them", "[processes]") {
    const Table table(2);
    CHECK(table->claim(INT64_MAX) == 0);
    CHECK(table->claim(1) == 1);
    CHECK(table->column_of(INT64_MAX) == 0);
    CHECK_FALSE(table->column_of(static_cast<std::int32_t>(INT64_MAX)));
}

TEST_CASE("a table may have no columns", "[processes]") {
    const Table table(0);
    CHECK_FALSE(table->claim(100));
    CHECK_FALSE(table->column_of(100));
}

TEST_CASE("a table lies within the bytes asked for", "[processes]") {
    // Another table behind the first one, which would show what is written there.
    const std::size_t size = (Processes::bytes(100) + 63) / 64 * 64;
    const SharedMemory memory(2 * size);
    Processes* table = Processes::create(memory.address(), 100);
    Processes* behind = Processes::create(static_cast<unsigned char*>(memory.address()) + size, 1);
    for (std::int64_t process = 1; process <= 100; ++process) REQUIRE(table->claim(process));
    CHECK_FALSE(table->claim(101));
    CHECK(table->columns() == 100);
    CHECK(behind->columns() == 1);
    CHECK(behind->claim(1) == 0);
}

TEST_CASE("processes that claim at once get a column each", "[processes]") {
    constexpr int many = 16;
    const Table table(many);
    const SharedMemory memory(many * sizeof(std::atomic<std::int64_t>));
    auto* got = static_cast<std::atomic<std::int64_t>*>(memory.address());
    REQUIRE(in_processes(many, [&](int number) {
        const auto column = table->claim(getpid());
        if (!column || table->column_of(getpid()) != column) _exit(1);
        got[number] = *column + std::int64_t{1};
    }));
    std::set<std::int64_t> different;
    for (int i = 0; i < many; ++i) different.insert(got[i]);
    CHECK(different.size() == many);
    CHECK(*different.begin() == 1);
    CHECK(*different.rbegin() == many);
    CHECK_FALSE(table->claim(1));
}

TEST_CASE("processes that come and go at once never share a column", "[processes]") {
    constexpr std::uint16_t columns = 4;
    const Table table(columns);
    const SharedMemory memory(columns * sizeof(std::atomic<int>));
    auto* users = static_cast<std::atomic<int>*>(memory.address());
    // Six processes for four columns: now and then there is none left.
    REQUIRE(in_processes(6, [&](int number) {
        for (std::int64_t i = 0; i < 5'000; ++i) {
            const auto column = table->claim(1 + number);
            if (!column) continue;
            if (users[*column].fetch_add(1) != 0) _exit(1);
            users[*column].fetch_sub(1);
            table->release(*column);
        }
    }));
    for (std::uint16_t column = 0; column < columns; ++column) CHECK(table->claim(100 + column) == column);
}

}  // namespace lbsticky
