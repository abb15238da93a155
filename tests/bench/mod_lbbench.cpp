// Measures what choosing a worker costs, in httpd itself. For benchmarks; never installed.
//
//     GET /lbbench?balancer=NAME&what=finder&method=sticky&choices=100000&processes=1&threads=1
//
// what=finder calls the finder of the provider `method` on the balancer, under the mutex that mod_proxy_balancer holds
// when it does. what=pre_request runs all that mod_proxy runs to find the worker of a request, for the method that the
// balancer has: the route of a session, the finder, what is left behind for the log.
//
// The requests are copies of the one that asks. The header Choice-Cookie is their Cookie header; `@` in it becomes 1,
// 2, 3, … up to `variants`, from one request to the next. With end=0 they do not end: their workers go on serving them.
//
// The answer is lines of "name value": nanoseconds (the median of batches, a choice), allocations (calls of malloc in
// all choices, where count_malloc.so is preloaded) and chosen.N for each worker that was chosen, by its place.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "httpd/apache.hpp"

extern "C" {
#include "apr_strings.h"
#include "util_script.h"
}

namespace {

// Few, so that a request is still in the cache when it is chosen for, as it is where httpd has just read it.
constexpr std::size_t batch = 8;
constexpr std::size_t most_workers = 8192;

// What processes tell each other.
struct Shared {
    std::array<std::atomic<std::uint64_t>, most_workers> chosen;
    std::atomic<std::uint64_t> allocations;
    std::atomic<std::uint64_t> batches;
    double nanoseconds[1];  // a choice, of each batch; as many as there is room for
};

struct Task {
    request_rec* model;
    proxy_server_conf* conf;
    proxy_balancer* balancer;
    const proxy_balancer_method* method;  // null: pre_request
    std::string cookie;
    std::uint64_t variants;
    std::uint64_t choices;  // of each thread
    bool end;
};

const module* mod_proxy() {
    static const module* const found = ap_find_linked_module("mod_proxy.c");
    return found;
}

template <typename Function>
Function* exported(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

std::uint64_t allocations() {
    static auto* const count = exported<unsigned long()>("lbbench_allocations");
    return count ? count() : 0;
}

request_rec* copy_of(const Task& task, std::uint64_t number, apr_pool_t* pool) {
    auto* r = static_cast<request_rec*>(apr_pmemdup(pool, task.model, sizeof(request_rec)));
    r->pool = pool;
    r->proxyreq = PROXYREQ_REVERSE;  // else mod_proxy makes no URL of it for the worker, and its hooks decline
    r->subprocess_env = apr_table_make(pool, 16);
    r->notes = apr_table_make(pool, 4);
    r->headers_in = apr_table_copy(pool, task.model->headers_in);
    r->headers_out = apr_table_make(pool, 4);
    r->err_headers_out = apr_table_make(pool, 4);
    r->output_filters = r->proto_output_filters;
    r->request_config = ap_create_request_config(pool);
    ap_set_core_module_config(r->request_config, ap_get_core_module_config(task.model->request_config));
    r->filename = apr_pstrcat(pool, "proxy:", task.balancer->s->name, "/", nullptr);
    std::string cookie = task.cookie;
    if (const auto at = cookie.find('@'); at != std::string::npos)
        cookie.replace(at, 1, std::to_string(number % task.variants + 1));
    apr_table_unset(r->headers_in, "Choice-Cookie");
    if (cookie.empty())
        apr_table_unset(r->headers_in, "Cookie");
    else
        apr_table_setn(r->headers_in, "Cookie", apr_pstrdup(pool, cookie.c_str()));
    return r;
}

}  // namespace

// The part that is measured, by a name that callgrind can be told.
extern "C" __attribute__((noinline)) void lbbench_choose(const Task& task, request_rec* const* requests,
                                                         proxy_worker** workers) {
    static auto* const run_pre_request = exported<decltype(proxy_run_pre_request)>("proxy_run_pre_request");
    for (std::size_t i = 0; i < batch; ++i) {
        workers[i] = nullptr;
        if (task.method) {
            PROXY_THREAD_LOCK(task.balancer);
            workers[i] = task.method->finder(task.balancer, requests[i]);
            PROXY_THREAD_UNLOCK(task.balancer);
        } else {
            proxy_balancer* balancer = nullptr;
            char* url = requests[i]->filename + 6;
            run_pre_request(&workers[i], &balancer, requests[i], task.conf, &url);
        }
    }
}

namespace {

void choose_often(const Task& task, Shared& shared, std::uint64_t most_batches, std::uint64_t first) {
    static auto* const run_post_request = exported<decltype(proxy_run_post_request)>("proxy_run_post_request");
    static auto* const run_request_status = exported<decltype(proxy_run_request_status)>("proxy_run_request_status");
    apr_allocator_t* allocator = nullptr;
    apr_allocator_create(&allocator);
    apr_pool_t* pool = nullptr;
    apr_pool_create_ex(&pool, nullptr, nullptr, allocator);
    std::array<request_rec*, batch> requests{};
    std::array<proxy_worker*, batch> workers{};
    for (std::uint64_t done = 0; done < task.choices; done += batch) {
        apr_pool_clear(pool);
        for (std::size_t i = 0; i < batch; ++i) {
            apr_pool_t* own = nullptr;
            apr_pool_create(&own, pool);
            requests[i] = copy_of(task, first + done + i, own);
        }
        const std::uint64_t allocated = allocations();
        const auto start = std::chrono::steady_clock::now();
        lbbench_choose(task, requests.data(), workers.data());
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
        shared.allocations += allocations() - allocated;
        const std::uint64_t place = shared.batches++;
        if (place < most_batches) shared.nanoseconds[place] = took.count() / batch;
        for (std::size_t i = 0; i < batch; ++i) {
            if (!workers[i]) continue;
            if (static_cast<std::size_t>(workers[i]->s->index) < most_workers)
                ++shared.chosen[static_cast<std::size_t>(workers[i]->s->index)];
            if (task.method || !task.end) continue;
            run_post_request(workers[i], task.balancer, requests[i], task.conf);
            int status = OK;
            run_request_status(&status, requests[i]);
        }
    }
    apr_pool_destroy(pool);
    apr_allocator_destroy(allocator);
}

void in_threads(const Task& task, Shared& shared, std::uint64_t most_batches, std::uint64_t threads,
                std::uint64_t first) {
    std::vector<std::thread> others;
    for (std::uint64_t i = 1; i < threads; ++i)
        others.emplace_back([&, i] { choose_often(task, shared, most_batches, first + i * task.choices); });
    choose_often(task, shared, most_batches, first);
    for (std::thread& other : others) other.join();
}

const char* argument(request_rec* r, const char* name, const char* otherwise) {
    apr_table_t* arguments = nullptr;
    ap_args_to_table(r, &arguments);
    const char* value = apr_table_get(arguments, name);
    return value ? value : otherwise;
}

std::uint64_t number(request_rec* r, const char* name, std::uint64_t otherwise) {
    const char* value = argument(r, name, nullptr);
    return value ? std::strtoull(value, nullptr, 10) : otherwise;
}

int answer(request_rec* r) {
    if (!r->handler || std::strcmp(r->handler, "lbbench") != 0) return DECLINED;
    Task task{};
    task.model = r;
    task.conf = static_cast<proxy_server_conf*>(ap_get_module_config(r->server->module_config, mod_proxy()));
    const std::string name = std::string(BALANCER_PREFIX) + argument(r, "balancer", "");
    auto* balancers = reinterpret_cast<proxy_balancer*>(task.conf->balancers->elts);
    for (int i = 0; i < task.conf->balancers->nelts; ++i)
        if (name == balancers[i].s->name) task.balancer = &balancers[i];
    if (std::strcmp(argument(r, "what", "finder"), "finder") == 0)
        task.method = static_cast<proxy_balancer_method*>(
            ap_lookup_provider(PROXY_LBMETHOD, argument(r, "method", "sticky"), "0"));
    const char* cookie = apr_table_get(r->headers_in, "Choice-Cookie");
    task.cookie = cookie ? cookie : "";
    task.variants = std::max<std::uint64_t>(number(r, "variants", 1), 1);
    task.choices = number(r, "choices", 10'000);
    task.end = number(r, "end", 1) != 0;
    const std::uint64_t processes = number(r, "processes", 1);
    const std::uint64_t threads = std::max<std::uint64_t>(number(r, "threads", 1), 1);
    if (!task.balancer) return HTTP_NOT_FOUND;

    const std::uint64_t batches = (task.choices / batch + 1) * std::max<std::uint64_t>(processes, 1) * threads;
    const std::size_t bytes = sizeof(Shared) + batches * sizeof(double);
    auto* shared =
        static_cast<Shared*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    if (shared == MAP_FAILED) return HTTP_INTERNAL_SERVER_ERROR;

    // Children of this process share what it shares with its siblings. processes=1 stays in this one.
    std::vector<pid_t> children;
    for (std::uint64_t i = 1; i < processes; ++i) {
        const pid_t child = fork();
        if (child == 0) {
            in_threads(task, *shared, batches, threads, i * threads * task.choices);
            _exit(0);
        }
        children.push_back(child);
    }
    in_threads(task, *shared, batches, threads, 0);
    bool well = true;
    for (const pid_t child : children) {
        int status = 0;
        well = waitpid(child, &status, 0) == child && status == 0 && well;
    }

    const std::size_t measured = std::min<std::uint64_t>(shared->batches, batches);
    std::nth_element(shared->nanoseconds, shared->nanoseconds + measured / 2, shared->nanoseconds + measured);
    ap_set_content_type(r, "text/plain");
    ap_rprintf(r, "nanoseconds %.1f\nallocations %" APR_UINT64_T_FMT "\n", shared->nanoseconds[measured / 2],
               shared->allocations.load());
    for (std::size_t i = 0; i < most_workers; ++i)
        if (const std::uint64_t chosen = shared->chosen[i])
            ap_rprintf(r, "chosen.%lu %" APR_UINT64_T_FMT "\n", static_cast<unsigned long>(i), chosen);
    munmap(shared, bytes);
    return well ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

void register_hooks(apr_pool_t*) {
    ap_hook_handler(answer, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace

extern "C" {
module __attribute__((visibility("default"))) AP_MODULE_DECLARE_DATA lbbench_module = {
    STANDARD20_MODULE_STUFF, nullptr, nullptr, nullptr, nullptr, nullptr, register_hooks, 0,
};
}
