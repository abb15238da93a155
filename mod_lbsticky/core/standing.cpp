#include "core/standing.hpp"

#include <optional>

#include "core/duration.hpp"

namespace lbsticky {
namespace {

// The words of a phrase, one behind the other.
class Phrase {
public:
    bool empty() const noexcept { return text_.empty(); }
    void say(std::string_view words) { text_.append(text_.empty() ? "" : ", ").append(words); }
    void say(Standing word) { say(word_for(word)); }
    void add(std::string_view words) { text_ += words; }
    std::string take() { return std::move(text_); }

private:
    std::string text_;
};

std::string for_so_long(const std::optional<std::uint64_t>& age) {
    return age ? " for " + duration_text(*age) : std::string();
}

void say_why_out_of_service(Phrase& phrase, const Status& status) {
    if (status.disabled) phrase.say(Standing::disabled);
    if (status.stopped) phrase.say(Standing::stopped);
    if (status.unhealthy) phrase.say(Standing::unhealthy);
    if (status.in_error || status.probing) phrase.say(Standing::in_error);
    if (!status.usable && phrase.empty()) phrase.say(Standing::not_initialized);
}

void say_drain(Phrase& phrase, const WorkerReport& worker) {
    if (worker.status.drained) {
        phrase.say(Standing::drained);
        if (worker.draining_age) phrase.add(", drain began " + duration_text(*worker.draining_age) + " ago");
        return;
    }
    phrase.say(Standing::draining);
    phrase.add(for_so_long(worker.draining_age));
    if (worker.deadline_left)
        phrase.say("sessions are moved" +
                   (*worker.deadline_left > 0 ? " in " + duration_text(*worker.deadline_left) : std::string()));
}

}  // namespace

Standing standing_of(const Status& status) noexcept {
    if (status.disabled) return Standing::disabled;
    if (status.stopped) return Standing::stopped;
    if (status.probing) return Standing::probing;
    if (status.in_error) return Standing::in_error;
    if (status.unhealthy) return Standing::unhealthy;
    if (!status.usable) return Standing::not_initialized;
    if (status.drained) return Standing::drained;
    if (status.draining) return Standing::draining;
    if (status.recovering) return Standing::recovering;
    if (status.standby) return Standing::standby;
    if (status.spare) return Standing::spare;
    return Standing::usable;
}

std::string phrase_for(const WorkerReport& worker) {
    const Status& status = worker.status;
    Phrase phrase;
    say_why_out_of_service(phrase, status);
    // Who is draining has been what it is since the drain began, whatever else became of it.
    if (!phrase.empty() && !status.draining) phrase.add(for_so_long(worker.status_age));
    if (status.probing) phrase.say("probing by one request");
    if (status.draining || status.drained) say_drain(phrase, worker);
    if (status.recovering) {
        phrase.say(Standing::recovering);
        phrase.add(for_so_long(worker.status_age));
        phrase.add(": " + std::to_string((worker.part_of_share + 5) / 10) + "% of its share");
    }
    if (status.standby) phrase.say(Standing::standby);
    if (status.spare) phrase.say(Standing::spare);
    if (phrase.empty()) {
        phrase.say(Standing::usable);
        phrase.add(for_so_long(worker.status_age));
    }
    return phrase.take();
}

}  // namespace lbsticky
