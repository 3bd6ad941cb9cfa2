#pragma once
// ggml's worker threads, owned by a context, with the polling level that ContextParams asks for.

#include <cstdint>
#include <map>
#include <vector>

struct llama_context;
struct ggml_threadpool;

namespace shimmy {

// A pool whose workers are not all in use still wakes them for every graph, and they spin through half of it. So there
// is a pool per size: each of the two counts, its half, its quarter and so on. Those out of use sleep.
class ThreadPool {
  public:
    // The largest counts that attach() will be asked for, at least 1. `poll` 0 to 100: how long idle workers spin
    // before they sleep. Throws Error when the system gives no more threads.
    ThreadPool(int32_t n_threads, int32_t n_threads_batch, int32_t poll);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool & operator=(const ThreadPool &) = delete;

    // Make `ctx` use `n_threads` threads for single tokens and `n_threads_batch` for more, each between 1 and the
    // larger count of the constructor. Not during a decode. The pool must outlive the context or be detached first.
    void attach(llama_context * ctx, int32_t n_threads, int32_t n_threads_batch);

  private:
    ggml_threadpool * pool_for(int32_t n_threads);

    int32_t poll_;
    std::vector<int32_t> sizes_;                  // ascending
    std::map<int32_t, ggml_threadpool *> pools_;  // by size, started when first needed
};

}  // namespace shimmy
