#pragma once
// A few threads that share the tasks of one call and sleep between calls: nobody spins, as the machine may be busy.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace shimmy {

class WorkerPool {
  public:
    // `n_threads` counts the caller of run(): 1, or less, starts no thread.
    explicit WorkerPool(int32_t n_threads);
    ~WorkerPool();
    WorkerPool(const WorkerPool &) = delete;
    WorkerPool & operator=(const WorkerPool &) = delete;

    using Task = std::function<void(size_t index)>;

    // Runs task(0) to task(n_tasks - 1), each once and in any order, on the caller and the workers, and returns when
    // all are done. All run even when some throw; the first exception is thrown on then. Workers that do not wake in
    // time are not waited for. One call at a time, and none from within a task.
    void run(size_t n_tasks, const Task & task);

    int32_t n_threads() const { return static_cast<int32_t>(workers_.size()) + 1; }

  private:
    void work();
    void drain(std::unique_lock<std::mutex> & lock);

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    const Task * task_ = nullptr;  // of the call that goes on
    size_t n_tasks_ = 0;
    size_t next_ = 0;    // the first task that nobody has taken
    size_t n_busy_ = 0;  // workers inside of a task
    std::exception_ptr error_;
    bool stopping_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace shimmy
