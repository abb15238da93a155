// Finds a worker by a name, in the time that it takes to hash the name.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/hash64.hpp"

namespace lbsticky {

// A hash table with open addressing (linear probing), at most half full, of names that stay where they are. Built by
// one thread; then any number may look.
class NameIndex {
public:
    // Room for so many names. Throws std::bad_alloc.
    explicit NameIndex(std::size_t names) : slots_(std::bit_ceil(2 * names)) {}

    // Gives a name to a worker, unless it has one already; returns the place that says whose it is. The name must
    // outlive the index; no more of them than there is room for.
    std::uint16_t& add(std::string_view name, std::uint16_t worker) noexcept {
        Slot& slot = slots_[place_of(name)];
        if (!slot.name.data()) slot = {name, worker};
        return slot.worker;
    }

    // The worker that has the name. Costs a hash of the name, and a comparison or a few.
    std::optional<std::size_t> find(std::string_view name) const noexcept {
        const Slot& slot = slots_[place_of(name)];
        if (!slot.name.data()) return std::nullopt;
        return slot.worker;
    }

    // The worker whose name has that hash64(). As find(); names are hashed instead of compared.
    std::optional<std::size_t> find_hashed(std::uint64_t hash) const noexcept {
        std::size_t place = static_cast<std::size_t>(hash) & (slots_.size() - 1);
        for (; slots_[place].name.data(); place = (place + 1) & (slots_.size() - 1))
            if (hash64(slots_[place].name) == hash) return slots_[place].worker;
        return std::nullopt;
    }

private:
    struct Slot {
        std::string_view name;  // without data: nobody's
        std::uint16_t worker = 0;
    };

    // Where the name is, or would be.
    std::size_t place_of(std::string_view name) const noexcept {
        std::size_t place = static_cast<std::size_t>(hash64(name)) & (slots_.size() - 1);
        while (slots_[place].name.data() && slots_[place].name != name) place = (place + 1) & (slots_.size() - 1);
        return place;
    }

    std::vector<Slot> slots_;
};

}  // namespace lbsticky
