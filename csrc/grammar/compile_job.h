#pragma once
// Work on a thread of its own that the caller waits for only so long.

#include <chrono>
#include <functional>

namespace shimmy {

struct CompileDeadline {
    std::chrono::milliseconds cpu{250};    // of the working thread
    std::chrono::milliseconds wall{2500};  // for threads that get no CPU
};

// Runs `work` and returns true when it has finished; its exception is passed on. Returns false after the deadline:
// then `work` still runs to its end, on a thread that nobody waits for, so it must own everything it touches.
bool run_with_deadline(const CompileDeadline & deadline, std::function<void()> work);

// How many such threads there are. Throws nothing.
int n_overdue_jobs();

}  // namespace shimmy
