// How an attempt to reach a store fails, inside its clients.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

#include "store/client.hpp"

namespace lbsticky {

// Thrown by whatever comes upon it; ends the attempt, and the connection.
class Failed : public std::runtime_error {
public:
    Failed(StoreAnswer::Outcome outcome, const std::string& text) : std::runtime_error(text), outcome_(outcome) {}
    StoreAnswer::Outcome outcome() const noexcept { return outcome_; }

private:
    StoreAnswer::Outcome outcome_;
};

// What a store said, so that it can stand in a log: at most 120 visible ASCII characters. Throws std::bad_alloc.
inline std::string sayable(std::string_view text) {
    constexpr std::size_t most = 120;
    std::string shown(text.substr(0, most));
    std::replace_if(
        shown.begin(), shown.end(), [](char c) { return c < ' ' || c >= 0x7f; }, '?');
    return shown;
}

// Makes an attempt. Whatever is thrown in it becomes its answer, and `give_up` is called.
template <typename Attempt, typename GiveUp>
StoreAnswer answer_of(Attempt&& attempt, GiveUp&& give_up) noexcept {
    const auto failure = [&](StoreAnswer::Outcome outcome, const char* text) noexcept -> StoreAnswer {
        give_up();
        try {
            return {outcome, text};
        } catch (...) {
            return {outcome, {}};  // no memory for the text
        }
    };
    try {
        return attempt();
    } catch (const Failed& failed) {
        return failure(failed.outcome(), failed.what());
    } catch (...) {
        return failure(StoreAnswer::Outcome::lost, "no memory");
    }
}

}  // namespace lbsticky
