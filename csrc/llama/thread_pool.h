#pragma once
// ggml's worker threads, owned by a context, with the polling level that ContextParams asks for.

#include <cstdint>
#include <memory>

struct llama_context;
struct ggml_threadpool;

namespace shimmy {

class ThreadPool {
  public:
    // `poll` 0 to 100: how long idle workers spin before they sleep.
    ThreadPool(int32_t n_threads, int32_t n_threads_batch, int32_t poll);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool & operator=(const ThreadPool &) = delete;

    // Make `ctx` use these threads. The pool must outlive the context or be detached first.
    void attach(llama_context * ctx) const;

  private:
    ggml_threadpool * decode_ = nullptr;
    ggml_threadpool * batch_ = nullptr;  // null: the same as decode_
};

}  // namespace shimmy
