#include "core/rotation.hpp"

#include <algorithm>
#include <numeric>
#include <queue>
#include <stdexcept>
#include <utility>

namespace lbsticky {
namespace {

// Shares proportional to the weights, with a sum of about `cycle`, by the method of largest remainders: each is rounded
// down, but to at least 1, and the picks that are left go to those with the largest remainders.
std::vector<std::uint64_t> rounded_shares(std::uint64_t cycle, std::span<const std::uint32_t> weights,
                                          std::uint64_t sum) {
    std::vector<std::uint64_t> shares;
    std::vector<std::pair<std::uint64_t, std::size_t>> remainders;
    std::uint64_t assigned = 0;
    for (std::size_t worker = 0; worker < weights.size(); ++worker) {
        const std::uint64_t exact = weights[worker] * cycle;  // the exact share, times sum
        shares.push_back(std::max<std::uint64_t>(1, exact / sum));
        assigned += shares.back();
        if (exact >= sum) remainders.emplace_back(exact % sum, worker);
    }
    std::stable_sort(remainders.begin(), remainders.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    for (std::size_t i = 0; i < remainders.size() && assigned < cycle; ++i, ++assigned) ++shares[remainders[i].second];
    return shares;
}

std::vector<std::uint64_t> shares_of_a_cycle(std::span<const std::uint32_t> weights) {
    if (weights.empty()) return {};
    std::uint64_t divisor = weights.front();
    std::uint64_t sum = 0;
    for (const auto weight : weights) {
        if (weight == 0) throw std::invalid_argument("a weight of 0");
        divisor = std::gcd(divisor, std::uint64_t{weight});
        sum += weight;
    }
    const std::uint64_t longest = Rotation::max_cycle(weights.size());
    if (sum / divisor > longest) return rounded_shares(longest, weights, sum);
    std::vector<std::uint64_t> shares(weights.begin(), weights.end());
    for (auto& share : shares) share /= divisor;
    return shares;
}

// Tijdeman's schedule for n workers and a cycle of c picks, with d = 2n - 2. A worker with a share of s picks may make
// its pick number k (counted from 0) from time (k + 1/d) * c/s on, and should make it by (k + 1 - 1/d) * c/s. The first
// ticket's pick is at time 1.
std::vector<std::uint16_t> order_of_a_cycle(const std::vector<std::uint64_t>& shares) {
    const auto cycle = static_cast<std::size_t>(std::accumulate(shares.begin(), shares.end(), std::uint64_t{0}));
    std::vector<std::uint16_t> order;
    order.reserve(cycle);
    if (shares.size() == 1) {
        order.assign(cycle, 0);
        return order;
    }

    constexpr std::uint32_t nobody = UINT32_MAX;
    std::vector<std::uint32_t> first_due(cycle + 1, nobody);     // the first worker that is due at each time
    std::vector<std::uint32_t> next_due(shares.size(), nobody);  // and the one after each worker
    std::vector<std::uint64_t> picked(shares.size(), 0);
    const std::uint64_t d = 2 * shares.size() - 2;

    const auto schedule = [&](std::uint32_t worker, std::uint64_t not_before) {
        const std::uint64_t unit = d * shares[worker];
        const std::uint64_t release = ((picked[worker] * d + 1) * cycle + unit - 1) / unit;
        auto& head = first_due[static_cast<std::size_t>(std::max(release, not_before))];
        next_due[worker] = std::exchange(head, worker);
    };

    // Workers that are due, by deadline in units of 2^-26 (a cycle is at most 2^21 long). The lowest 16 bits are the
    // worker's index: of equal deadlines, that of the lower index comes first.
    std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> due;
    for (std::uint32_t worker = 0; worker < shares.size(); ++worker) schedule(worker, 1);
    for (std::size_t time = 1; time <= cycle; ++time) {
        for (auto worker = first_due[time]; worker != nobody; worker = next_due[worker]) {
            const double deadline =
                static_cast<double>(((picked[worker] + 1) * d - 1) * cycle) / static_cast<double>(d * shares[worker]);
            due.push(static_cast<std::uint64_t>(deadline * 0x1p26) << 16 | worker);
        }
        const std::uint32_t worker = due.top() & 0xffff;
        due.pop();
        order.push_back(static_cast<std::uint16_t>(worker));
        if (++picked[worker] < shares[worker]) schedule(worker, time + 1);
    }
    return order;
}

}  // namespace

Rotation::Rotation(std::span<const std::uint32_t> weights)
    : shares_(shares_of_a_cycle(weights)), order_(order_of_a_cycle(shares_)) {}

std::vector<int> Rotation::owed(std::uint64_t tickets) const {
    std::vector<int> hundredths(shares_.size(), 0);
    if (order_.empty()) return hundredths;

    const auto drawn = static_cast<std::int64_t>(tickets % order_.size());
    const auto cycle = static_cast<std::int64_t>(order_.size());
    std::vector<std::int64_t> picked(shares_.size(), 0);
    for (std::int64_t ticket = 0; ticket < drawn; ++ticket) ++picked[order_[static_cast<std::size_t>(ticket)]];
    for (std::size_t worker = 0; worker < shares_.size(); ++worker) {
        const std::int64_t behind = drawn * static_cast<std::int64_t>(shares_[worker]) - picked[worker] * cycle;
        hundredths[worker] = static_cast<int>(behind * 100 / cycle);
    }
    return hundredths;
}

}  // namespace lbsticky
