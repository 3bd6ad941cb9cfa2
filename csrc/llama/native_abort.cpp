#include "llama/native_abort.h"

#include <ggml.h>

#include <cstdio>
#include <mutex>

namespace shimmy {
namespace {

thread_local int guard_depth = 0;

void on_abort(const char * message) {
    if (guard_depth > 0) {
        throw NativeAbort(std::string("llama.cpp refused to go on: ") + message);
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
