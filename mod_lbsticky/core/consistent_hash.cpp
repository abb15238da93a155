#include "core/consistent_hash.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace lbsticky {
namespace {

constexpr auto everyone = [](std::size_t) { return true; };

}  // namespace

void ConsistentHash::add(std::string_view route_id, std::uint32_t weight) {
    if (entries_.size() == UINT16_MAX) throw std::length_error("more than 65,535 workers in one balancer");
    entries_.push_back({hash64(route_id), static_cast<double>(weight)});
    cache_.clear();
}

std::optional<std::size_t> ConsistentHash::place(std::string_view key) {
    if (entries_.empty()) return std::nullopt;
    const std::uint64_t hash = hash64(key);
    if (entries_.size() <= max_uncached || !std::exchange(was_asked_, true)) return winner_of(hash, everyone);
    return cached_winner(hash);
}

std::size_t ConsistentHash::cached_winner(std::uint64_t key) {
    if (cache_.empty()) cache_.resize(cache_sets);
    auto& [keys, winners] = cache_[key % cache_sets];
    for (std::size_t i = 0; i < cache_ways; ++i)
        if (keys[i] == key && winners[i] != 0) return winners[i] - std::size_t{1};

    const std::size_t winner = *winner_of(key, everyone);
    std::copy_backward(keys.begin(), keys.end() - 1, keys.end());
    std::copy_backward(winners.begin(), winners.end() - 1, winners.end());
    keys.front() = key;
    winners.front() = static_cast<std::uint16_t>(winner + 1);
    return winner;
}

}  // namespace lbsticky
