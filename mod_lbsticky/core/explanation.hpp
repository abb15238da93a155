// Where a request would go, and why, in words: the decision table, line by line, as a choice went through it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/affinity.hpp"

namespace lbsticky {

struct Explanation {
    // A line of the decision table: its word, what was found for it, whether it decides. None follows that.
    struct Step {
        std::string_view word;
        std::string text;
        bool decides = false;
    };

    std::string balancer;  // its URL
    std::vector<Step> steps;
    Affinity affinity = Affinity::fresh;
    std::string member;                // its URL, as it may be shown; empty: nobody, 503
    std::string route;                 // of the member; empty: none
    std::vector<std::string> unless;   // what may help yet where nobody can serve, a sentence each
    std::vector<std::string> given{};  // what the client would be given to come back by, a sentence each
};

// The lines of the decision table for a choice that was made by these rules, from that roster. Everything is told as it
// was decided, nothing is decided anew. Session ids are shortened, passwords masked. `asks_store`: whether a
// request that names no worker asks a store where its session is. Throws std::bad_alloc.
std::vector<Explanation::Step> steps_of(const Claims& claims, const Rules& rules, const Roster& roster,
                                        const Choice& choice, bool asks_store);

// As lines for people, and as JSON. Throw std::bad_alloc.
std::string explanation_text(const Explanation& explanation);
std::string explanation_json(const Explanation& explanation);

}  // namespace lbsticky
