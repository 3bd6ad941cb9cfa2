#include "deep_stack.h"

#include <exception>
#include <string>

#include "errors.h"

#ifdef _WIN32
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>

#include <cstring>
#endif

namespace shimmy {

namespace {

thread_local const char * stack_top = nullptr;

struct Job {
    const std::function<void()> & work;
    std::exception_ptr failure;

    void run() {
        char here = 0;
        stack_top = &here;
        try {
            work();
        } catch (...) {
            failure = std::current_exception();
        }
    }
};

[[noreturn]] void fail_to_start(size_t stack_bytes, const std::string & reason) {
    throw Error("cannot start a thread with a stack of " + std::to_string(stack_bytes >> 20) + " MiB: " + reason);
}

}  // namespace

size_t deep_stack_used() {
    char here = 0;
    const char * at = &here;
    return stack_top != nullptr && at < stack_top ? size_t(stack_top - at) : 0;
}

#ifdef _WIN32

static unsigned __stdcall run_job(void * job) {
    static_cast<Job *>(job)->run();
    return 0;
}

void run_on_deep_stack(size_t stack_bytes, const std::function<void()> & work) {
    Job job{work, nullptr};
    const auto handle = reinterpret_cast<HANDLE>(
        _beginthreadex(nullptr, unsigned(stack_bytes), run_job, &job, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr));
    if (handle == nullptr) {
        fail_to_start(stack_bytes, "error " + std::to_string(GetLastError()));
    }
    WaitForSingleObject(handle, INFINITE);
    CloseHandle(handle);
    if (job.failure) {
        std::rethrow_exception(job.failure);
    }
}

#else

static void * run_job(void * job) {
    static_cast<Job *>(job)->run();
    return nullptr;
}

void run_on_deep_stack(size_t stack_bytes, const std::function<void()> & work) {
    Job job{work, nullptr};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int failed = pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread;
    if (failed == 0) {
        failed = pthread_create(&thread, &attributes, run_job, &job);
    }
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        fail_to_start(stack_bytes, std::strerror(failed));
    }
    pthread_join(thread, nullptr);
    if (job.failure) {
        std::rethrow_exception(job.failure);
    }
}

#endif

}  // namespace shimmy
