#include "engine/worker_pool.h"

#include <algorithm>
#include <utility>

namespace shimmy {

WorkerPool::WorkerPool(int32_t n_threads) {
    for (int32_t i = 1; i < n_threads; ++i) {
        workers_.emplace_back([this] { work(); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (auto & worker : workers_) {
        worker.join();
    }
}

// Takes tasks until none is left. A task is thousands of instructions, so that the lock around taking one is cheap.
void WorkerPool::drain(std::unique_lock<std::mutex> & lock) {
    while (next_ < n_tasks_) {
        const size_t index = next_++;
        const Task & task = *task_;
        lock.unlock();
        std::exception_ptr error;
        try {
            task(index);
        } catch (...) {
            error = std::current_exception();
        }
        lock.lock();
        if (error && !error_) {
            error_ = std::move(error);
        }
    }
}

void WorkerPool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || next_ < n_tasks_; });
        if (stopping_) {
            return;
        }
        ++n_busy_;
        drain(lock);
        if (--n_busy_ == 0) {
            done_.notify_one();
        }
    }
}

void WorkerPool::run(size_t n_tasks, const Task & task) {
    if (n_tasks == 0) {
        return;
    }
    std::unique_lock lock(mutex_);
    task_ = &task;
    n_tasks_ = n_tasks;
    next_ = 0;
    for (size_t i = std::min(workers_.size(), n_tasks - 1); i > 0; --i) {
        wake_.notify_one();
    }
    drain(lock);
    done_.wait(lock, [this] { return n_busy_ == 0; });
    task_ = nullptr;
    n_tasks_ = next_ = 0;
    if (auto error = std::exchange(error_, nullptr)) {
        lock.unlock();
        std::rethrow_exception(error);
    }
}

}  // namespace shimmy
