// The processes that serve requests, each with a column of its own in what is counted by process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace lbsticky {

// Lies in memory that processes share; memory of zeros is a table of nobody. A process has its column from claim() to
// release(), which its parent calls when it has ended, however it ended.
class Processes {
public:
    // Bytes that a table of so many columns takes.
    static std::size_t bytes(std::size_t columns) noexcept {
        return sizeof(Processes) + columns * sizeof(std::atomic<std::int64_t>);
    }

    // Makes a table in memory of at least bytes(columns), zeroed, aligned to 64 bytes.
    static Processes* create(void* memory, std::uint16_t columns) noexcept {
        auto* table = static_cast<Processes*>(memory);
        table->columns_ = columns;
        return table;
    }

    std::uint16_t columns() const noexcept { return columns_; }

    // The column of the process with that id, at least 1, from now on; nothing if there is none left. Any process may
    // call it at any time. O(columns).
    std::optional<std::uint16_t> claim(std::int64_t process) noexcept {
        for (std::uint16_t column = 0; column < columns_; ++column) {
            std::int64_t nobody = 0;
            if (owners()[column].compare_exchange_strong(nobody, process)) return column;
        }
        return std::nullopt;
    }

    // The column of a process; nothing if it has none. O(columns).
    std::optional<std::uint16_t> column_of(std::int64_t process) const noexcept {
        for (std::uint16_t column = 0; column < columns_; ++column)
            if (owners()[column].load() == process) return column;
        return std::nullopt;
    }

    // The process that has a column; 0: none.
    std::int64_t owner(std::uint16_t column) const noexcept { return owners()[column].load(); }

    // Gives a column away. What its process counted in it must be cleared before.
    void release(std::uint16_t column) noexcept { owners()[column].store(0); }

private:
    using Owner = std::atomic<std::int64_t>;  // the id of a process; 0: nobody
    static_assert(Owner::is_always_lock_free, "processes cannot share an atomic with a lock");

    Owner* owners() noexcept { return reinterpret_cast<Owner*>(this + 1); }
    const Owner* owners() const noexcept { return reinterpret_cast<const Owner*>(this + 1); }

    alignas(64) std::uint16_t columns_;
};

}  // namespace lbsticky
