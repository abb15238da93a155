// Uses a store as it is told to on its standard input, a line each, and answers in JSON, a line each:
//
//     store_driver ADDRESS [WORD]...
//
//     put LIFE set|add KEY VALUE   stores a value for LIFE seconds
//     look KEY                     looks a key up
//     work THREADS SECONDS NAME    has so many threads look up keys that nobody has, and put as many, all that time
//     counts                       what was counted, and what was told
//     end                          ends the store; then the driver ends

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/store.hpp"

namespace {

using namespace lbsticky;
using Clock = std::chrono::steady_clock;

std::string quoted(std::string_view text) {
    std::string json = "\"";
    for (const char c : text) json.append(c == '"' || c == '\\' ? "\\" : "").append(1, c < ' ' ? '?' : c);
    return json + "\"";
}

double milliseconds_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

class Driver {
public:
    explicit Driver(const StoreSettings& settings)
        : store_(std::make_unique<Store>(make_client(settings), limits_for(settings), counts_,
                                         [this](StoreEvent event, std::string_view reason) { tell(event, reason); })) {}

    // False at the end.
    bool obey(std::istream& line) {
        std::string what;
        line >> what;
        if (what == "put") put(line);
        if (what == "look") look(line);
        if (what == "work") work(line);
        if (what == "counts") counts();
        if (what != "end") return true;
        const auto begin = Clock::now();
        store_.reset();
        std::cout << "{\"took\": " << milliseconds_since(begin) << "}" << std::endl;
        return false;
    }

private:
    static StoreLimits limits_for(const StoreSettings& settings) {
        StoreLimits limits;
        limits.timeout = settings.timeout;
        return limits;
    }

    void tell(StoreEvent event, std::string_view reason) {
        static constexpr std::string_view words[] = {"away", "back", "full", "has_room"};
        const std::lock_guard lock(mutex_);
        if (!events_.empty()) events_ += ", ";
        events_ += "[" + quoted(words[static_cast<std::size_t>(event)]) + ", " + quoted(reason) + "]";
    }

    void put(std::istream& line) {
        long life = 0;
        std::string mode;
        std::string key;
        std::string value;
        line >> life >> mode >> key >> value;
        store_->put(key, value, std::chrono::seconds(life), mode == "add");
        std::cout << "{}" << std::endl;
    }

    void look(std::istream& line) {
        std::string key;
        line >> key;
        const auto begin = Clock::now();
        const auto value = store_->look_up(key);
        const double took = milliseconds_since(begin);
        std::cout << "{\"value\": " << (value ? quoted(*value) : "null") << ", \"took\": " << took << "}" << std::endl;
    }

    void work(std::istream& line) {
        int threads = 0;
        double seconds = 0;
        std::string name;
        line >> threads >> seconds >> name;
        const auto begin = Clock::now();
        std::atomic<int> values = 0;
        std::atomic<int> puts = 0;
        std::vector<std::vector<double>> waits(static_cast<std::size_t>(threads));
        std::vector<double> longest_puts(waits.size());
        std::vector<std::thread> all;
        for (std::size_t thread = 0; thread < waits.size(); ++thread)
            all.emplace_back([&, thread] {
                while (milliseconds_since(begin) < seconds * 1000) {
                    const std::string key =
                        name + ":" + std::to_string(thread) + ":" + std::to_string(waits[thread].size());
                    const auto look_begin = Clock::now();
                    if (store_->look_up(key)) ++values;
                    waits[thread].push_back(milliseconds_since(look_begin));
                    const auto put_begin = Clock::now();
                    store_->put(key, "1 node1 1", std::chrono::seconds(600), true);
                    ++puts;
                    longest_puts[thread] = std::max(longest_puts[thread], milliseconds_since(put_begin));
                    std::this_thread::sleep_for(std::chrono::milliseconds(15));
                }
            });
        for (auto& thread : all) thread.join();
        double longest = 0;
        std::size_t looks = 0;
        for (const auto& of_thread : waits) {
            looks += of_thread.size();
            for (const double wait : of_thread) longest = std::max(longest, wait);
        }
        std::cout << "{\"looks\": " << looks << ", \"puts\": " << puts << ", \"values\": " << values
                  << ", \"longest\": " << longest
                  << ", \"longest_put\": " << *std::max_element(longest_puts.begin(), longest_puts.end()) << "}"
                  << std::endl;
    }

    void counts() {
        std::ostringstream json;
        const std::pair<const char*, const StoreCounts::Count*> all[] = {
            {"hits", &counts_.hits},     {"misses", &counts_.misses},         {"unanswered", &counts_.unanswered},
            {"capped", &counts_.capped}, {"remembered", &counts_.remembered}, {"while_away", &counts_.while_away},
            {"stored", &counts_.stored}, {"dropped", &counts_.dropped},       {"failures", &counts_.failures}};
        for (const auto& [name, count] : all) json << quoted(name) << ": " << *count << ", ";
        static constexpr std::string_view states[] = {"unknown", "here", "away"};
        const std::lock_guard lock(mutex_);
        std::cout << "{" << json.str()
                  << "\"state\": " << quoted(states[static_cast<std::size_t>(counts_.state.load())])
                  << ", \"epoch\": " << store_->epoch() << ", \"events\": [" << events_ << "]}" << std::endl;
    }

    StoreCounts counts_{};
    std::mutex mutex_;
    std::string events_;
    std::unique_ptr<Store> store_;
};

}  // namespace

int main(int argc, char** argv) try {
    StoreSettings settings;
    const std::vector<std::string_view> words(argv + 1, argv + argc);
    if (const auto mistake = read_store(settings, words)) {
        std::cerr << *mistake << "\n";
        return 2;
    }
    Driver driver(settings);
    for (std::string text; std::getline(std::cin, text);) {
        std::istringstream line(text);
        if (!driver.obey(line)) return 0;
    }
    return 1;
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
