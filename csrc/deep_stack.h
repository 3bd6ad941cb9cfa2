#pragma once
// Runs a function on a thread with a stack of a given size, for code of llama.cpp that recurses with its input.

#include <cstddef>
#include <functional>

namespace shimmy {

// Blocks until `work` has returned; its exception is passed on. Memory is taken only as far as the stack is used.
// Throws Error when no such thread can be started.
void run_on_deep_stack(size_t stack_bytes, const std::function<void()> & work);

// Bytes of the calling thread's deep stack that are in use; 0 on any other thread.
size_t deep_stack_used();

}  // namespace shimmy
