#include "llama/thread_pool.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <llama.h>

#include <algorithm>
#include <exception>
#include <string>

#include "errors.h"
#include "llama/native_abort.h"

namespace shimmy {
namespace {

// Looked up by name: in a portable build the CPU backend is a library that is loaded at run time.
template <typename Function>
Function * cpu_function(const char * name) {
    auto * dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return dev ? reinterpret_cast<Function *>(
                     ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(dev), name))
               : nullptr;
}

// Null when the system gives no more threads.
ggml_threadpool * start(int32_t n_threads, int32_t poll) {
    auto * create = cpu_function<decltype(ggml_threadpool_new)>("ggml_threadpool_new");
    auto params = ggml_threadpool_params_default(n_threads);
    params.poll = static_cast<uint32_t>(poll);
    params.paused = true;  // the first graph wakes it
    AbortGuard guard;
    try {
        return create ? create(&params) : nullptr;
    } catch (const std::exception &) {
        return nullptr;
    }
}

void stop(ggml_threadpool * pool) {
    if (auto * destroy = cpu_function<decltype(ggml_threadpool_free)>("ggml_threadpool_free")) {
        destroy(pool);
    }
}

}  // namespace

ThreadPool::ThreadPool(int32_t n_threads, int32_t n_threads_batch, int32_t poll) : poll_(poll) {
    for (const int32_t top : {n_threads, n_threads_batch}) {
        for (int32_t size = top; size > 0; size /= 2) {
            sizes_.push_back(size);
        }
    }
    std::sort(sizes_.begin(), sizes_.end());
    sizes_.erase(std::unique(sizes_.begin(), sizes_.end()), sizes_.end());
    if (!pool_for(std::max(n_threads, n_threads_batch))) {
        throw Error("no pool of " + std::to_string(std::max(n_threads, n_threads_batch)) +
                    " worker threads could be started");
    }
}

ThreadPool::~ThreadPool() {
    for (const auto & [size, pool] : pools_) {
        stop(pool);
    }
}

void ThreadPool::attach(llama_context * ctx, int32_t n_threads, int32_t n_threads_batch) {
    auto * decode = pool_for(n_threads);
    auto * batch = pool_for(n_threads_batch);
    llama_attach_threadpool(ctx, decode, batch);
    llama_set_n_threads(ctx, n_threads, n_threads_batch);
}

// The smallest pool that has room for so many, or a larger one when the system gives no more threads.
ggml_threadpool * ThreadPool::pool_for(int32_t n_threads) {
    const int32_t size = *std::lower_bound(sizes_.begin(), sizes_.end(), n_threads);
    if (pools_.count(size) == 0) {
        if (auto * pool = start(size, poll_)) {
            pools_.emplace(size, pool);
        }
    }
    const auto found = pools_.lower_bound(size);
    return found == pools_.end() ? nullptr : found->second;
}

}  // namespace shimmy
