#include "core/consistent_hash.hpp"

#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>

#include "core/hash64.hpp"

namespace lbsticky {
namespace {

constexpr std::uint64_t answer_bits = 0xffff;

}  // namespace

void ConsistentHash::add(std::string_view route_id, std::uint32_t weight) {
    if (entries_.size() == answer_bits) throw std::length_error("more than 65,535 workers in one balancer");
    entries_.push_back({hash64(route_id), static_cast<double>(weight)});
    memory_.reset();
}

std::optional<std::size_t> ConsistentHash::place(std::string_view key) {
    if (entries_.empty()) return std::nullopt;
    if (!memory_) {
        memory_.reset(static_cast<std::uint64_t*>(std::calloc(remembered, sizeof(std::uint64_t))));
        if (!memory_) throw std::bad_alloc();
    }
    // The low 16 bits of the hash are the place in the memory, the others are kept there; an answer is never 0.
    static_assert(remembered == answer_bits + 1);
    const std::uint64_t hash = hash64(key);
    std::uint64_t& memory = memory_[hash & answer_bits];
    if ((memory & answer_bits) == 0 || (memory & ~answer_bits) != (hash & ~answer_bits))
        memory = (hash & ~answer_bits) | (earliest(hash) + 1);
    return static_cast<std::size_t>((memory & answer_bits) - 1);
}

std::size_t ConsistentHash::earliest(std::uint64_t key) const noexcept {
    std::size_t winner = 0;
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t worker = 0; worker < entries_.size(); ++worker) {
        const Entry& entry = entries_[worker];
        const std::uint64_t draw = mix64(key ^ entry.seed);
        const double u = (static_cast<double>(draw >> 11) + 0.5) * 0x1p-53;  // in (0, 1)
        // -ln(u) is at least 1 - u, which rules out nearly all of them without a logarithm.
        if (1.0 - u >= best * entry.weight) continue;
        const double time = -std::log(u) / entry.weight;
        if (time < best) {
            best = time;
            winner = worker;
        }
    }
    return winner;
}

}  // namespace lbsticky
