#include "llama/thread_pool.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <llama.h>

#include "errors.h"

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

ggml_threadpool * start(int32_t n_threads, int32_t poll, bool paused) {
    auto * create = cpu_function<decltype(ggml_threadpool_new)>("ggml_threadpool_new");
    auto params = ggml_threadpool_params_default(n_threads);
    params.poll = static_cast<uint32_t>(poll);
    params.paused = paused;
    auto * pool = create ? create(&params) : nullptr;
    if (!pool) {
        throw Error("no pool of " + std::to_string(n_threads) + " worker threads could be started");
    }
    return pool;
}

void stop(ggml_threadpool * pool) {
    auto * destroy = cpu_function<decltype(ggml_threadpool_free)>("ggml_threadpool_free");
    if (pool && destroy) {
        destroy(pool);
    }
}

}  // namespace

ThreadPool::ThreadPool(int32_t n_threads, int32_t n_threads_batch, int32_t poll) {
    if (n_threads != n_threads_batch) {
        batch_ = start(n_threads_batch, poll, false);
    }
    try {
        decode_ = start(n_threads, poll, batch_ != nullptr);
    } catch (...) {
        stop(batch_);
        throw;
    }
}

ThreadPool::~ThreadPool() {
    stop(decode_);
    stop(batch_);
}

void ThreadPool::attach(llama_context * ctx) const {
    llama_attach_threadpool(ctx, decode_, batch_);
}

}  // namespace shimmy
