#include "deep_stack.h"

#include <exception>
#include <string>

#include "errors.h"

#ifdef _WIN32
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
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

namespace {

// Memory of which the system promises nothing, with a page at its end that faults.
class UnreservedStack {
  public:
    explicit UnreservedStack(size_t size) : size_((size + page - 1) / page * page + page) {
#if defined(MAP_NORESERVE) && defined(MAP_STACK)
        bottom_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
                       -1, 0);
        if (bottom_ != MAP_FAILED) {
            mprotect(bottom_, page, PROT_NONE);
        }
#endif
    }
    ~UnreservedStack() {
        if (bottom_ != MAP_FAILED) {
            munmap(bottom_, size_);
        }
    }
    UnreservedStack(const UnreservedStack &) = delete;
    UnreservedStack & operator=(const UnreservedStack &) = delete;

    int give_to(pthread_attr_t & attributes) const {
        return bottom_ == MAP_FAILED ? ENOMEM : pthread_attr_setstack(&attributes, bottom_, size_);
    }

  private:
    static constexpr size_t page = size_t{64} << 10;  // as large as any system's

    size_t size_;
    void * bottom_ = MAP_FAILED;
};

// 0, or the error of pthread_create.
int run_on_thread(const pthread_attr_t & attributes, Job & job) {
    pthread_t thread;
    const int failed = pthread_create(&thread, &attributes, run_job, &job);
    if (failed == 0) {
        pthread_join(thread, nullptr);
    }
    return failed;
}

}  // namespace

void run_on_deep_stack(size_t stack_bytes, const std::function<void()> & work) {
    Job job{work, nullptr};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int failed = pthread_attr_setstacksize(&attributes, stack_bytes);
    failed = failed != 0 ? failed : run_on_thread(attributes, job);
    if (failed == EAGAIN) {  // Linux promises no more than the machine's memory, although little of it may be used
        const UnreservedStack stack(stack_bytes);
        failed = stack.give_to(attributes);
        failed = failed != 0 ? failed : run_on_thread(attributes, job);
    }
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        fail_to_start(stack_bytes, std::strerror(failed));
    }
    if (job.failure) {
        std::rethrow_exception(job.failure);
    }
}

#endif

}  // namespace shimmy
