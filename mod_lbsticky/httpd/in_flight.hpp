// Requests in flight, as far as this process has a part in them.
#pragma once

#include <utility>

#include "core/activity.hpp"
#include "core/processes.hpp"
#include "httpd/apache.hpp"

namespace lbsticky {

// Counts one request for the worker that is serving it. One thread at a time; costs an atomic addition each way, of a
// cell that no other process writes. What it leaves when its process is killed, the parent clears.
class InFlight {
public:
    // The request was given to a worker.
    void begin(Activity& activity) noexcept;

    // The worker is done with it. Does nothing if it is with none.
    void end() noexcept {
        if (cell_) std::exchange(cell_, nullptr)->fetch_sub(1, std::memory_order_relaxed);
    }

private:
    Activity::Cell* cell_ = nullptr;
};

// For the child_init hook: this process takes the column in which it counts. Without one it counts nothing, and says so
// in the error log.
void begin_to_count(apr_pool_t* pool, server_rec* main_server) noexcept;

// For the child_status hook, which the parent runs: what an ended process counted is cleared.
void clear_what_ended(server_rec* server, pid_t process, ap_generation_t generation, int slot,
                      mpm_child_status status) noexcept;

}  // namespace lbsticky
