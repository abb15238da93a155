// The border to C: no exception crosses it.
#pragma once

#include <exception>
#include <utility>

namespace lbsticky {

// Runs `work` and, if it throws, `otherwise` with the reason; returns what they return. Every function that httpd calls
// and that may throw does its work in here. `otherwise` must not throw.
template <typename Work, typename Otherwise>
auto guarded(Work&& work, Otherwise&& otherwise) noexcept {
    try {
        return std::forward<Work>(work)();
    } catch (const std::exception& error) {
        return std::forward<Otherwise>(otherwise)(error.what());
    } catch (...) {
        return std::forward<Otherwise>(otherwise)("an unknown error");
    }
}

}  // namespace lbsticky
