// What a roster costs: prints a line "MEMBERS WEIGHTS MILLISECONDS BYTES SHARED" for each number of members, with equal
// load factors and with arbitrary ones. Milliseconds are the median of 15 builds, each with its rotation; bytes what
// one takes on the heap; SHARED is what a balancer with so many members takes in shared memory where up to 256 child
// processes serve it, as with prefork.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "core/activity.hpp"
#include "core/roster.hpp"
#include "core/shared_state.hpp"

namespace {

constexpr std::size_t columns = 288;

std::vector<lbsticky::Worker> members(std::size_t number, bool arbitrary) {
    std::mt19937 random(1);
    std::uniform_int_distribution<std::uint32_t> factor(100, 10000);  // all that httpd allows
    std::vector<lbsticky::Worker> workers(number);
    for (std::size_t i = 0; i < number; ++i) {
        workers[i].url = "http://192.168.1.1:" + std::to_string(10000 + i);
        workers[i].route = "node" + std::to_string(i + 1);
        workers[i].ids = {workers[i].route};
        if (arbitrary) workers[i].factor = factor(random);
    }
    return workers;
}

}  // namespace

int main() {
    for (const std::size_t number : {2, 8, 32, 128, 512, 1000, 1024, 4096}) {
        for (const bool arbitrary : {false, true}) {
            std::vector<double> milliseconds;
            std::size_t bytes = 0;
            std::atomic<std::uint64_t> next{0};
            lbsticky::Tickets tickets(next);
            for (int i = 0; i < 15; ++i) {
                auto workers = members(number, arbitrary);
                const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
                const auto start = std::chrono::steady_clock::now();
                lbsticky::Roster roster(std::move(workers));
                roster.by_rotation(tickets, 0);
                const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
                milliseconds.push_back(took.count());
                bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
            }
            std::nth_element(milliseconds.begin(), milliseconds.begin() + 7, milliseconds.end());
            std::printf("%zu %s %.3f %zu %zu\n", number, arbitrary ? "arbitrary" : "equal", milliseconds[7], bytes,
                        sizeof(lbsticky::SharedState) +
                            number * (sizeof(lbsticky::WorkerTally) + lbsticky::Activity::bytes(columns)));
        }
    }
}
