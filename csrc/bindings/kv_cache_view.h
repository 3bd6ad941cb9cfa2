#pragma once
// The KV cache of a context, as Python sees it: keeps the context alive and takes its lock.

#include <memory>
#include <mutex>
#include <utility>

#include "bindings/bind.h"
#include "llama/context.h"

namespace shimmy::bindings {

struct KvCacheView {
    std::shared_ptr<Context> context;

    template <typename Function>
    auto locked(Function && function) {
        py::gil_scoped_release unlocked;
        std::lock_guard lock(context->mutex());
        return std::forward<Function>(function)(context->kv_cache());
    }
};

}  // namespace shimmy::bindings
