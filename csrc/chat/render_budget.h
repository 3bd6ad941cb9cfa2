#pragma once

#include <chrono>
#include <cstddef>

#include "jinja/runtime.h"

namespace shimmy {

// Templates and the parsing of answers run on stacks of this size.
inline constexpr size_t chat_stack_bytes = size_t{64} << 20;

// A template went over its budget. A rethrown_exception because jinja lets that one pass without wrapping it.
struct BudgetExceeded : jinja::rethrown_exception {
    using jinja::rethrown_exception::rethrown_exception;
};

// What the templates rendered by one thread may use from construction to destruction: processor time, memory per
// string and call depth. Guarded templates (see guarded_template.h) charge the budget of the thread they run on.
class RenderBudget {
  public:
    // `max_string` bytes is the longest string that an expression may make.
    RenderBudget(std::chrono::milliseconds cpu_time, size_t max_string);
    ~RenderBudget();
    RenderBudget(const RenderBudget &) = delete;
    RenderBudget & operator=(const RenderBudget &) = delete;

    // The innermost budget of this thread. Throws BudgetExceeded when there is none: no template runs without.
    static RenderBudget & of_thread();

    // One loop iteration or call. Throws BudgetExceeded when the time is up.
    void tick();
    // Throws BudgetExceeded when a string of `bytes` is over the limit.
    void check_string(size_t bytes) const;

    // One call of a macro; throws BudgetExceeded when calls nest too deep for the stack.
    class Call {
      public:
        explicit Call(RenderBudget & budget);
        ~Call() { --budget_.depth_; }
        Call(const Call &) = delete;
        Call & operator=(const Call &) = delete;

      private:
        RenderBudget & budget_;
    };

    // Whether the time was up, even if the exception was swallowed on the way.
    bool timed_out() const { return timed_out_; }

  private:
    std::chrono::nanoseconds deadline_;  // on this thread's processor clock
    std::chrono::milliseconds cpu_time_;
    size_t max_string_;
    size_t ticks_ = 0;
    size_t depth_ = 0;
    bool timed_out_ = false;
    RenderBudget * outer_;
};

}  // namespace shimmy
