#pragma once
// Runs a function on a thread with a stack of a given size, for llama.cpp code that recurses with its input.

#include <cstddef>
#include <functional>

namespace shimmy {

// Blocks until `function` has returned; its exception is passed on. Memory is taken only as far as the stack is used.
// Throws Error when no such thread can be started.
void run_on_deep_stack(size_t stack_bytes, const std::function<void()> & function);

}  // namespace shimmy
