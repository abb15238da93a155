// What several tests need: workers in any state, session ids by the million, memory that processes share.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/activity.hpp"
#include "core/hash64.hpp"
#include "core/roster.hpp"
#include "core/worker.hpp"

namespace lbsticky {

// ThreadSanitizer makes everything many times slower, so counts are divided by this. Its build is there for threads:
// other builds check the exact shares that need large counts.
#if defined(__SANITIZE_THREAD__)
inline constexpr std::size_t tsan_divisor = 4;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr std::size_t tsan_divisor = 4;
#else
inline constexpr std::size_t tsan_divisor = 1;
#endif
#else
inline constexpr std::size_t tsan_divisor = 1;
#endif

inline Worker serving(std::string_view route, std::uint32_t factor = 100) {
    Worker worker;
    worker.url = "http://" + std::string(route) + ".example:8080";
    worker.route = route;
    worker.factor = factor;
    return worker;
}

inline Worker down(Worker worker) {
    worker.usable = false;
    return worker;
}

// In error, or failed by a health check.
inline Worker failing(Worker worker) {
    worker.usable = false;
    worker.in_error = true;
    return worker;
}

inline Worker draining(Worker worker) {
    worker.draining = true;
    return worker;
}

// In service since then, and recovering from it.
inline Worker recovering(Milliseconds since, Worker worker) {
    worker.recovering = true;
    worker.in_service_since = since;
    return worker;
}

inline Worker spare(Worker worker) {
    worker.spare = true;
    return worker;
}

inline Worker standby(Worker worker) {
    worker.standby = true;
    return worker;
}

inline Worker in_set(int lbset, Worker worker) {
    worker.lbset = lbset;
    return worker;
}

inline Worker redirecting(std::string_view to, Worker worker) {
    worker.redirect = to;
    return worker;
}

// The route of the worker to which consistent hashing gives the key, from a new roster.
inline std::string holder_of(std::string_view key, const std::vector<Worker>& workers) {
    Roster roster(workers);
    const auto worker = roster.by_hash(key);
    return worker ? roster.workers()[*worker].route : "nobody";
}

// The n-th session id, which looks like one of a servlet container: 32 hex digits.
inline std::string session_id(std::uint64_t n) {
    std::string id(32, '0');
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < id.size(); ++i) {
        if (i % 16 == 0) bits = mix64(2 * n + 1 + i);
        id[i] = "0123456789ABCDEF"[bits & 0xf];
        bits >>= 4;
    }
    return id;
}

// Pseudo-random numbers, the same everywhere: first <= next() <= last.
class Numbers {
public:
    explicit Numbers(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint32_t next(std::uint32_t first, std::uint32_t last) noexcept {
        return first + static_cast<std::uint32_t>(mix64(++state_) % (last - first + 1));
    }

private:
    std::uint64_t state_;
};

// Zeroed memory that this process shares with those forked from it.
class SharedMemory {
public:
    explicit SharedMemory(std::size_t bytes)
        : bytes_(bytes), address_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
        if (address_ == MAP_FAILED) throw std::bad_alloc();
    }
    ~SharedMemory() { munmap(address_, bytes_); }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    void* address() const noexcept { return address_; }

private:
    std::size_t bytes_;
    void* address_;
};

// Fresh activities of so many workers, one behind the other, in memory that processes share.
class Activities {
public:
    explicit Activities(std::size_t count, std::size_t columns = 1)
        : stride_(Activity::bytes(columns)), memory_(std::max<std::size_t>(count, 1) * stride_) {}

    Activity& operator[](std::size_t i) const noexcept {
        return *reinterpret_cast<Activity*>(static_cast<unsigned char*>(memory_.address()) + i * stride_);
    }

    // The workers, with these activities.
    std::vector<Worker> of(std::vector<Worker> workers) const {
        for (std::size_t i = 0; i < workers.size(); ++i) workers[i].activity = &(*this)[i];
        return workers;
    }

    // From now on the workers serve so many requests, by their order.
    void serve(const std::vector<std::uint16_t>& requests) const noexcept {
        for (std::size_t i = 0; i < requests.size(); ++i) (*this)[i].cell(0) = requests[i];
    }

private:
    std::size_t stride_;
    SharedMemory memory_;
};

// Runs work(0, round) and work(1, round) in two threads, which begin each round at the same moment.
template <typename Work>
void in_step(std::size_t rounds, const Work& work) {
    std::atomic<std::size_t> arrived{0};
    const auto run = [&](std::size_t thread) {
        for (std::size_t round = 0; round < rounds; ++round) {
            arrived.fetch_add(1);
            while (arrived.load() < 2 * (round + 1)) std::this_thread::yield();
            work(thread, round);
        }
    };
    std::thread other(run, 1);
    run(0);
    other.join();
}

// Runs work(0) … work(count - 1) at once, each in a process of its own. True if all of them succeeded.
template <typename Work>
bool in_processes(int count, const Work& work) {
    std::vector<pid_t> children;
    for (int number = 0; number < count; ++number) {
        const pid_t child = fork();
        if (child == 0) {
            try {
                work(number);
            } catch (...) {
                _exit(1);
            }
            _exit(0);
        }
        if (child > 0) children.push_back(child);
    }
    bool succeeded = children.size() == static_cast<std::size_t>(count);
    for (const pid_t child : children) {
        int status = 0;
        succeeded = waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 && succeeded;
    }
    return succeeded;
}

}  // namespace lbsticky
