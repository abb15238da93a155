#include "httpd/in_flight.hpp"

#include <unistd.h>

#include <optional>

#include "httpd/shared_memory.hpp"

APLOG_USE_MODULE(lbmethod_sticky);

namespace lbsticky {
namespace {

// Written before this process has threads.
std::optional<std::uint16_t> own_column;

}  // namespace

void InFlight::begin(Activity& activity) noexcept {
    end();
    if (!own_column) return;
    cell_ = &activity.cell(*own_column);
    cell_->fetch_add(1, std::memory_order_relaxed);
}

void begin_to_count(apr_pool_t*, server_rec* main_server) noexcept {
    Processes* table = processes();
    if (!table) return;
    // Where the id of a process that ended unseen is given again.
    if (const auto left = table->column_of(getpid())) forget_process(*left);
    own_column = table->claim(getpid());
    if (!own_column)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     "requests of process %ld are missing from those in flight: %u other processes are at work",
                     static_cast<long>(getpid()), table->columns());
}

void clear_what_ended(server_rec*, pid_t process, ap_generation_t, int, mpm_child_status status) noexcept {
    if (status != MPM_CHILD_EXITED) return;
    const Processes* table = processes();
    if (!table) return;
    if (const auto column = table->column_of(process)) forget_process(*column);
}

}  // namespace lbsticky
