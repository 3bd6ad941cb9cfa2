#include "llama/deep_stack.h"

#include <cstring>
#include <exception>
#include <string>
#include <thread>

#ifndef _WIN32
#include <pthread.h>
#endif

#include "errors.h"

namespace shimmy {
namespace {

struct Task {
    const std::function<void()> & function;
    std::exception_ptr error;

    void run() noexcept {
        try {
            function();
        } catch (...) {
            error = std::current_exception();
        }
    }
};

}  // namespace

void run_on_deep_stack(size_t stack_bytes, const std::function<void()> & function) {
    Task task{function, nullptr};
#ifdef _WIN32
    // The stack size of a std::thread is the executable's; Windows grows it on demand up to that.
    (void) stack_bytes;
    std::thread([&task] { task.run(); }).join();
#else
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread;
    const auto entry = [](void * pointer) -> void * {
        static_cast<Task *>(pointer)->run();
        return nullptr;
    };
    const int failed = pthread_create(&thread, &attributes, entry, &task);
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        throw Error("no thread with a stack of " + std::to_string(stack_bytes >> 20) + " MiB could be started: " +
                    std::strerror(failed));
    }
    pthread_join(thread, nullptr);
#endif
    if (task.error) {
        std::rethrow_exception(task.error);
    }
}

}  // namespace shimmy
