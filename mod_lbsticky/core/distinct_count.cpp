#include "core/distinct_count.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

namespace lbsticky {
namespace {

// Ertl's sigma: what registers that nothing has reached say; `x` is their share. Infinite if that is all of them.
double sigma(double x) noexcept {
    if (x == 1.0) return std::numeric_limits<double>::infinity();
    double weight = 1.0;
    double sum = x;
    for (double last = -1.0; sum != last;) {
        x *= x;
        last = sum;
        sum += x * weight;
        weight += weight;
    }
    return sum;
}

// Ertl's tau: what registers that can grow no more say; `x` is the share of the others.
double tau(double x) noexcept {
    if (x == 0.0 || x == 1.0) return 0.0;
    double weight = 1.0;
    double sum = 1.0 - x;
    for (double last = -1.0; sum != last;) {
        x = std::sqrt(x);
        last = sum;
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
    }
    return sum / 3.0;
}

}  // namespace

bool DistinctCount::add(std::uint64_t hash, std::uint32_t slice) noexcept {
    const std::size_t place = slice % slices;
    Sketch& sketch = sketches_[place];
    const std::uint32_t held = held_[place].load(std::memory_order_acquire);
    // A request may be late: it must not take the place of what came since. What is far ahead was before the clock was
    // set back.
    constexpr std::uint32_t late = 12;
    if (held > slice && held - slice <= late) return false;
    if (held != slice) {
        for (Pair& pair : sketch) pair.store(0, std::memory_order_relaxed);
        held_[place].store(slice, std::memory_order_release);
    }

    // The upper half chooses the register, the zeros at the end of the lower half are what is kept of it.
    const auto index = static_cast<std::size_t>(((hash >> 32) * registers) >> 32);
    const auto rank =
        static_cast<unsigned>(std::countr_zero(static_cast<std::uint32_t>(hash) | 1U << (largest - 1))) + 1;
    const unsigned shift = index % 2 * bits;
    Pair& pair = sketch[index / 2];
    std::uint8_t found = pair.load(std::memory_order_relaxed);
    while ((found >> shift & largest) < rank) {
        const auto raised = static_cast<std::uint8_t>((found & ~(largest << shift)) | rank << shift);
        if (pair.compare_exchange_weak(found, raised, std::memory_order_relaxed)) return true;
    }
    return false;
}

double DistinctCount::estimate(std::uint32_t slice) const noexcept {
    std::array<const Sketch*, slices> counting{};
    std::size_t sketches = 0;
    for (std::size_t place = 0; place < slices; ++place)
        if (counts(held_[place].load(std::memory_order_acquire), slice)) counting[sketches++] = &sketches_[place];

    std::array<std::uint32_t, largest + 1> with{};  // how many registers have this value
    for (std::size_t i = 0; i < registers / 2; ++i) {
        unsigned low = 0, high = 0;
        for (std::size_t k = 0; k < sketches; ++k) {
            const unsigned pair = (*counting[k])[i].load(std::memory_order_relaxed);
            low = std::max(low, pair & largest);
            high = std::max(high, pair >> bits);
        }
        ++with[low];
        ++with[high];
    }

    constexpr double m = registers;
    double sum = m * tau(1.0 - with[largest] / m);
    for (std::size_t value = largest - 1; value >= 1; --value) sum = 0.5 * (sum + with[value]);
    sum += m * sigma(with[0] / m);
    return m * m / (2.0 * std::numbers::ln2 * sum);
}

}  // namespace lbsticky
