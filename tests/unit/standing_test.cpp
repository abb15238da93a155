#include "core/standing.hpp"

#include <functional>
#include <initializer_list>
#include <string>

#include "catch.hpp"

namespace lbsticky {
namespace {

// A worker with these flags; it is usable unless one of them says otherwise.
WorkerReport is(std::initializer_list<bool Status::*> flags, std::optional<std::uint64_t> age = {}) {
    WorkerReport worker;
    for (bool Status::*flag : flags) worker.status.*flag = true;
    const Status& status = worker.status;
    worker.status.usable = !(status.disabled || status.stopped || status.in_error || status.unhealthy);
    worker.status_age = age;
    if (status.draining) worker.draining_age = age;
    return worker;
}

WorkerReport with(WorkerReport worker, const std::function<void(WorkerReport&)>& change) {
    change(worker);
    return worker;
}

}  // namespace

TEST_CASE("what a worker is, in a phrase", "[standing]") {
    CHECK(phrase_for(is({})) == "usable");
    CHECK(phrase_for(is({}, 300)) == "usable for 5 min");
    CHECK(phrase_for(is({&Status::draining}, 300)) == "draining for 5 min");
    CHECK(phrase_for(is({&Status::draining})) == "draining");
    CHECK(phrase_for(is({&Status::draining, &Status::drained}, 300)) == "drained, drain began 5 min ago");
    CHECK(phrase_for(is({&Status::draining, &Status::drained})) == "drained");
    CHECK(phrase_for(is({&Status::in_error}, 59)) == "in error for 59 s");
    CHECK(phrase_for(is({&Status::in_error})) == "in error");
    CHECK(phrase_for(is({&Status::in_error, &Status::probing}, 59)) == "in error for 59 s, probing by one request");
    CHECK(phrase_for(is({&Status::probing})) == "in error, probing by one request");
    CHECK(phrase_for(is({&Status::unhealthy}, 7200)) == "failed its health check for 2 h");
    CHECK(phrase_for(is({&Status::disabled}, 86400)) == "disabled for 1 d");
    CHECK(phrase_for(is({&Status::stopped}, 86400)) == "stopped for 1 d");
    CHECK(phrase_for(is({&Status::standby}, 300)) == "standby");
    CHECK(phrase_for(is({&Status::spare}, 300)) == "spare");
    CHECK(phrase_for(with(is({}), [](WorkerReport& worker) { worker.status.usable = false; })) == "not initialized");
}

TEST_CASE("a deadline is told as long as the worker is needed", "[standing]") {
    const auto draining = [](std::uint64_t left, bool drained) {
        return phrase_for(with(is({&Status::draining}, 300), [&](WorkerReport& worker) {
            worker.deadline_left = left;
            worker.status.drained = drained;
        }));
    };
    CHECK(draining(600, false) == "draining for 5 min, sessions are moved in 10 min");
    CHECK(draining(0, false) == "draining for 5 min, sessions are moved");
    CHECK(draining(600, true) == "drained, drain began 5 min ago");
}

TEST_CASE("of who is recovering its part is told", "[standing]") {
    const auto recovering = [](std::uint32_t thousandths) {
        return phrase_for(
            with(is({&Status::recovering}, 300), [&](WorkerReport& worker) { worker.part_of_share = thousandths; }));
    };
    CHECK(recovering(100) == "recovering for 5 min: 10% of its share");
    CHECK(recovering(404) == "recovering for 5 min: 40% of its share");
    CHECK(recovering(405) == "recovering for 5 min: 41% of its share");
}

TEST_CASE("several things at once are told without contradiction", "[standing]") {
    CHECK(phrase_for(is({&Status::disabled, &Status::in_error}, 300)) == "disabled, in error for 5 min");
    CHECK(phrase_for(is({&Status::draining, &Status::in_error}, 300)) == "in error, draining for 5 min");
    CHECK(phrase_for(is({&Status::draining, &Status::standby}, 300)) == "draining for 5 min, standby");
    CHECK(phrase_for(is({&Status::in_error, &Status::spare}, 300)) == "in error for 5 min, spare");
    CHECK(phrase_for(is({&Status::standby, &Status::spare}, 300)) == "standby, spare");
    // Whatever it is: that it is usable is said alone, or not at all.
    for (unsigned bits = 0; bits < 1U << (status_words.size() - 1); ++bits) {
        WorkerReport worker;
        for (std::size_t i = 1; i < status_words.size(); ++i) worker.status.*status_words[i].flag = bits >> (i - 1) & 1;
        const std::string phrase = phrase_for(worker);
        CHECK((phrase == "usable") == (bits == 0));
        CHECK((phrase.find("usable") == 0) == (bits == 0));
        CHECK((standing_of(worker.status) == Standing::usable) == (bits == 0));
    }
}

TEST_CASE("who is in trouble is looked at first", "[standing]") {
    const std::vector<WorkerReport> in_order{is({&Status::in_error}),
                                             is({&Status::unhealthy}),
                                             with(is({}), [](WorkerReport& worker) { worker.status.usable = false; }),
                                             is({&Status::in_error, &Status::probing}),
                                             is({&Status::draining, &Status::drained}),
                                             is({&Status::draining}),
                                             is({&Status::recovering}),
                                             is({&Status::disabled}),
                                             is({&Status::stopped}),
                                             is({&Status::standby}),
                                             is({&Status::spare}),
                                             is({})};
    REQUIRE(in_order.size() == standing_words.size());
    for (std::size_t i = 0; i < in_order.size(); ++i)
        CHECK(static_cast<std::size_t>(standing_of(in_order[i].status)) == i);
    CHECK(standing_of(is({&Status::disabled, &Status::in_error}).status) == Standing::disabled);
    CHECK(standing_of(is({&Status::draining, &Status::in_error}).status) == Standing::in_error);
    CHECK(standing_of(is({&Status::recovering, &Status::standby}).status) == Standing::recovering);
}

}  // namespace lbsticky
