#pragma once
// The last net under llama.cpp's assertions. Validation comes first; this only keeps a missed one from ending the host.

#include <string>
#include <utility>

#include "errors.h"

namespace shimmy {

// llama.cpp asserted inside a guarded call. Whatever it was working on is in an unknown state.
struct NativeAbort : Error {
    using Error::Error;
};

// Install the process-wide hook, once. Outside of an AbortGuard an assertion still ends the process.
void install_abort_hook();

// While one lives on a thread, an assertion in llama.cpp on that same thread throws NativeAbort.
class AbortGuard {
  public:
    AbortGuard();
    ~AbortGuard();
    AbortGuard(const AbortGuard &) = delete;
    AbortGuard & operator=(const AbortGuard &) = delete;
};

}  // namespace shimmy
