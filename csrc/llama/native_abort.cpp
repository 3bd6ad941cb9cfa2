#include "llama/native_abort.h"

#include <ggml.h>

#include <cstdio>
#include <mutex>

#include "llama/log_sink.h"

namespace shimmy {
namespace {

thread_local int guard_depth = 0;

void on_abort(const char * message) {
    if (guard_depth > 0) {
        throw NativeAbort(std::string("llama.cpp refused to go on: ") + message);
    }
    for (const auto & line : recent_errors()) {  // the log's own thread may not get to them any more
        std::fprintf(stderr, "%s\n", line.c_str());
    }
    std::fprintf(stderr, "%s\n", message);
}

}  // namespace

void install_abort_hook() {
    static std::once_flag once;
    std::call_once(once, [] { ggml_set_abort_callback(on_abort); });
}

AbortGuard::AbortGuard() {
    ++guard_depth;
}

AbortGuard::~AbortGuard() {
    --guard_depth;
}

}  // namespace shimmy
