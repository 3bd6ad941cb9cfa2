#include "chat/render_budget.h"

#include <ctime>
#include <string>

#include "deep_stack.h"

namespace shimmy {

namespace {

thread_local RenderBudget * innermost = nullptr;

constexpr size_t ticks_per_clock_read = 64;
constexpr size_t max_call_depth = 256;
// Left free for one statement: its expressions nest at most as deep as template_limits.h allows.
constexpr size_t stack_reserve = chat_stack_bytes / 2;

// Processor time of this thread, so that a busy machine does not use up a template's budget.
std::chrono::nanoseconds thread_time() {
#ifdef CLOCK_THREAD_CPUTIME_ID
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
#else
    return std::chrono::steady_clock::now().time_since_epoch();
#endif
}

}  // namespace

RenderBudget::RenderBudget(std::chrono::milliseconds cpu_time, size_t max_string)
    : deadline_(thread_time() + cpu_time), cpu_time_(cpu_time), max_string_(max_string), outer_(innermost) {
    innermost = this;
}

RenderBudget::~RenderBudget() {
    innermost = outer_;
}

RenderBudget & RenderBudget::of_thread() {
    if (innermost == nullptr) {
        throw BudgetExceeded("the template was run without a budget");
    }
    return *innermost;
}

void RenderBudget::tick() {
    if (timed_out_ || (++ticks_ % ticks_per_clock_read == 0 && thread_time() > deadline_)) {
        timed_out_ = true;
        throw BudgetExceeded("it runs for more than " + std::to_string(cpu_time_.count()) + " ms");
    }
}

void RenderBudget::check_string(size_t bytes) const {
    if (bytes > max_string_) {
        throw BudgetExceeded("it makes a string of " + std::to_string(bytes) + " bytes; at most " +
                             std::to_string(max_string_) + " are allowed for an input of this size");
    }
}

RenderBudget::Call::Call(RenderBudget & budget) : budget_(budget) {
    budget_.tick();
    if (++budget_.depth_ > max_call_depth || deep_stack_used() > chat_stack_bytes - stack_reserve) {
        --budget_.depth_;
        throw BudgetExceeded("its macros call each other more than " + std::to_string(max_call_depth) + " levels deep");
    }
}

}  // namespace shimmy
