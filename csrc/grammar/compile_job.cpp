#include "grammar/compile_job.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#if defined(__linux__)
#include <pthread.h>
#include <time.h>
#endif

namespace shimmy {
namespace {

using Clock = std::chrono::steady_clock;

struct Job {
    std::function<void()> work;
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    bool overdue = false;
    std::exception_ptr error;
};

std::atomic<int> n_overdue{0};

void run(const std::shared_ptr<Job> & job) {
    std::exception_ptr error;
    try {
        job->work();
    } catch (...) {
        error = std::current_exception();
    }
    job->work = nullptr;
    const std::lock_guard lock(job->mutex);
    job->error = error;
    job->done = true;
    n_overdue -= job->overdue;
    job->changed.notify_all();
}

// CPU time that the thread has used, where the system tells.
std::optional<std::chrono::nanoseconds> cpu_time(std::thread & thread) {
#if defined(__linux__)
    clockid_t clock;
    timespec time{};
    if (pthread_getcpuclockid(thread.native_handle(), &clock) == 0 && clock_gettime(clock, &time) == 0) {
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
#else
    static_cast<void>(thread);
#endif
    return std::nullopt;
}

}  // namespace

bool run_with_deadline(const CompileDeadline & deadline, std::function<void()> work) {
    const auto job = std::make_shared<Job>();
    job->work = std::move(work);
    std::thread thread([job] { run(job); });
    const auto started = Clock::now();

    std::unique_lock lock(job->mutex);
    while (!job->done) {
        job->changed.wait_for(lock, std::chrono::milliseconds(10));
        // The thread is alive until `done`, which needs the mutex held here: its clock can be asked.
        const auto waited = Clock::now() - started;
        if (!job->done && (waited > deadline.wall || cpu_time(thread).value_or(waited) > deadline.cpu)) {
            job->overdue = true;
            ++n_overdue;
            thread.detach();
            return false;
        }
    }
    lock.unlock();
    thread.join();
    if (job->error) {
        std::rethrow_exception(job->error);
    }
    return true;
}

int n_overdue_jobs() {
    return n_overdue;
}

}  // namespace shimmy
