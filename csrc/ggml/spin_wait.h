#pragma once
// Force-included into ggml-cpu.c when ggml uses its own thread pool (see cmake/llama.cmake).
//
// The threads of a step meet at hundreds of barriers, and those that wait there spin. When another process took the
// core of the one that is late, they may spin on the very core that it could run on. So a wait that lasts gives its
// core away, without sleeping: a sleep would be longer than most steps of a small model. Short waits, and so a quiet
// machine, only see a look at the clock once in 32 rounds.
#if defined(__linux__)
#include <sched.h>
#include <stdint.h>
#include <time.h>

static inline void shimmy_upstream_cpu_relax(void);

static inline int64_t shimmy_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void shimmy_spin_wait(void) {
    // Rounds between two looks at the clock take about a microsecond. Looks further apart than NEW_WAIT are of two
    // waits, or of one in which this thread itself lost its core. In nanoseconds.
    enum { ROUNDS = 32, NEW_WAIT = 20000, YIELD_AFTER = 50000 };
    static _Thread_local uint32_t rounds;
    static _Thread_local int64_t start;
    static _Thread_local int64_t last;
    shimmy_upstream_cpu_relax();
    if (++rounds % ROUNDS != 0) {
        return;
    }
    const int64_t now = shimmy_nanoseconds();
    if (now - last > NEW_WAIT) {
        start = now;
    }
    last = now;
    if (now - start > YIELD_AFTER) {
        sched_yield();
        last = shimmy_nanoseconds();
    }
}

// Upstream defines ggml_thread_cpu_relax(void) and calls ggml_thread_cpu_relax(): this renames the definition and sends
// the calls here.
#define SHIMMY_RELAX_void shimmy_upstream_cpu_relax(void)
#define SHIMMY_RELAX_ shimmy_spin_wait()
#define ggml_thread_cpu_relax(argument) SHIMMY_RELAX_##argument
#endif
