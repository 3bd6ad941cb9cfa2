#include "engine/thread_governor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using namespace shimmy;

namespace {

// A machine of `cores` whose steps take `serial` + `parallel` / threads seconds per token when they have their cores to
// themselves. With more threads and neighbours than cores, a step waits for the thread that shares one.
struct Machine {
    int32_t cores = 2;
    double serial = 0.003;
    double parallel = 0.024;
    int32_t neighbours = 0;
    double noise = 0.03;     // standard deviation of the logarithm
    double outliers = 0.01;  // part of the steps that take three times as long
    double penalty = 2;      // how much longer a step is for a thread that shares its core
    std::mt19937 random{1};

    double quiet_seconds(int32_t n_tokens, int32_t n_threads) const {
        return (serial + parallel / n_threads) * n_tokens;
    }

    double seconds(int32_t n_tokens, int32_t n_threads) {
        double time = quiet_seconds(n_tokens, n_threads);
        if (n_threads + neighbours > cores) {
            time *= 1 + penalty * std::uniform_real_distribution(0.5, 1.5)(random);
        }
        time *= std::exp(std::normal_distribution(0.0, noise)(random));
        return std::uniform_real_distribution(0.0, 1.0)(random) < outliers ? 3 * time : time;
    }
};

struct Run {
    double seconds = 0;
    double seconds_at_most = 0;  // what the largest count would have taken on a quiet machine, noise left out
    std::vector<int32_t> counts;

    // The part of the last `n` steps that had `count` threads.
    double share(int32_t count, size_t n) const {
        const auto from = counts.end() - static_cast<std::ptrdiff_t>(n);
        return static_cast<double>(std::count(from, counts.end(), count)) / static_cast<double>(n);
    }

    // Steps until one had `count` threads and the next nine had it in the majority.
    size_t settled(int32_t count) const {
        for (size_t i = 0; i + 10 <= counts.size(); ++i) {
            const auto at = counts.begin() + static_cast<std::ptrdiff_t>(i);
            if (*at == count && std::count(at, at + 10, count) > 5) {
                return i;
            }
        }
        return counts.size();
    }
};

Run run(ThreadGovernor & governor, Machine & machine, size_t steps, StepKind kind = StepKind::Decode,
        int32_t n_tokens = 1) {
    Run run;
    for (size_t i = 0; i < steps; ++i) {
        const int32_t threads = governor.n_threads(kind);
        const double seconds = machine.seconds(n_tokens, threads);
        governor.record(kind, n_tokens, seconds);
        run.seconds += seconds;
        run.seconds_at_most += machine.quiet_seconds(n_tokens, machine.cores);
        run.counts.push_back(threads);
    }
    return run;
}

// What the largest count alone would have taken for the same noise.
double fixed_seconds(Machine machine, size_t steps) {
    double seconds = 0;
    for (size_t i = 0; i < steps; ++i) {
        seconds += machine.seconds(1, machine.cores);
    }
    return seconds;
}

}  // namespace

TEST_CASE("a quiet machine keeps all its threads") {
    for (const int32_t cores : {2, 4, 16}) {
        for (const double noise : {0.0, 0.03, 0.1}) {
            CAPTURE(cores);
            CAPTURE(noise);
            Machine machine{.cores = cores, .noise = noise};
            ThreadGovernor governor(cores, cores, true);
            const double fixed = fixed_seconds(machine, 5000);
            const auto quiet = run(governor, machine, 5000);
            CHECK(quiet.seconds < fixed * (noise > 0.05 ? 1.02 : 1.01));
            if (cores < 16) {  // there one thread less is hardly slower
                CHECK(quiet.share(cores, 5000) > 0.98);
            }
        }
    }
}

TEST_CASE("one neighbour on two cores: one thread within ten steps or so") {
    for (uint32_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Machine machine{.random = std::mt19937{seed}};
        ThreadGovernor governor(2, 2, true);
        run(governor, machine, 200);
        machine.neighbours = 1;
        const auto busy = run(governor, machine, 1000);
        CHECK(busy.settled(1) <= 15);
        CHECK(busy.share(1, 900) > 0.95);
        CHECK(busy.seconds < 1000 * machine.quiet_seconds(1, 1) * 1.08);
    }
}

TEST_CASE("a neighbour that was there from the start is found too") {
    Machine machine{.neighbours = 1};
    ThreadGovernor governor(2, 2, true);
    CHECK(run(governor, machine, 200).settled(1) <= 40);
}

TEST_CASE("when the neighbour leaves, all threads are back within seconds") {
    for (uint32_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Machine machine{.random = std::mt19937{seed}};
        ThreadGovernor governor(2, 2, true);
        for (int round = 0; round < 4; ++round) {
            machine.neighbours = 1;
            run(governor, machine, 300);
            machine.neighbours = 0;
            const auto quiet = run(governor, machine, 600);
            const auto steps = quiet.settled(2);
            CHECK(static_cast<double>(steps) * machine.quiet_seconds(1, 1) < 5);
            CHECK(quiet.share(2, 200) > 0.95);
        }
    }
}

TEST_CASE("where sharing a core costs little, all threads stay") {
    Machine machine{.neighbours = 1, .penalty = 0.2};
    ThreadGovernor governor(2, 2, true);
    const auto busy = run(governor, machine, 3000);
    CHECK(busy.share(2, 2900) > 0.97);
}

TEST_CASE("sixteen cores give way to as many neighbours as there are") {
    for (const int32_t neighbours : {1, 4, 8}) {
        CAPTURE(neighbours);
        Machine machine{.cores = 16, .serial = 0.001, .parallel = 0.1};
        ThreadGovernor governor(16, 16, true);
        run(governor, machine, 200);
        machine.neighbours = neighbours;
        const auto busy = run(governor, machine, 3000);
        CHECK(busy.seconds < 3000 * machine.quiet_seconds(1, 16 - neighbours) * 1.35);
        machine.neighbours = 0;
        CHECK(run(governor, machine, 3000).share(16, 1000) > 0.95);
    }
}

TEST_CASE("steps of a noisy millisecond do not mislead it") {
    Machine machine{.serial = 0.0002, .parallel = 0.0008, .noise = 0.3, .outliers = 0.05};
    ThreadGovernor governor(2, 2, true);
    const auto quiet = run(governor, machine, 20000);
    CHECK(quiet.share(2, 20000) > 0.94);
    machine.neighbours = 1;
    const auto busy = run(governor, machine, 5000);
    CHECK(busy.settled(1) <= 60);
    CHECK(busy.share(1, 4000) > 0.9);
}

TEST_CASE("decode and prefill are decided apart") {
    Machine decode{.neighbours = 1};
    Machine prefill{.neighbours = 0};
    ThreadGovernor governor(2, 2, true);
    for (int i = 0; i < 100; ++i) {
        run(governor, decode, 5);
        run(governor, prefill, 1, StepKind::Prefill, 512);
    }
    CHECK(run(governor, decode, 100).share(1, 100) > 0.9);
    CHECK(run(governor, prefill, 100, StepKind::Prefill, 512).share(2, 100) > 0.9);
}

TEST_CASE("batches of changing sizes are compared with their like") {
    Machine machine;
    ThreadGovernor governor(2, 2, true);
    size_t fewer = 0;
    for (size_t i = 0; i < 3000; ++i) {
        const auto n_tokens = static_cast<int32_t>(1 + i * 7 % 32);
        const auto step = run(governor, machine, 1, StepKind::Decode, n_tokens);
        fewer += step.counts.front() < 2 ? 1 : 0;
    }
    CHECK(fewer < 60);
}

TEST_CASE("growing contexts are no contention") {
    Machine machine;
    ThreadGovernor governor(2, 2, true);
    size_t fewer = 0;
    for (size_t i = 0; i < 4000; ++i) {
        machine.parallel = 0.024 * (1 + static_cast<double>(i % 1000) / 500);
        fewer += run(governor, machine, 1).counts.front() < 2 ? 1 : 0;
    }
    CHECK(fewer < 80);
}

TEST_CASE("one thread, and threads that are not to be touched, stay") {
    Machine machine{.neighbours = 4};
    ThreadGovernor single(1, 1, true);
    CHECK(run(single, machine, 500).share(1, 500) == 1);
    ThreadGovernor fixed(4, 8, false);
    CHECK(run(fixed, machine, 500).share(4, 500) == 1);
    CHECK(run(fixed, machine, 500, StepKind::Prefill).share(8, 500) == 1);
}

TEST_CASE("steps of no tokens or no time are ignored") {
    ThreadGovernor governor(2, 2, true);
    for (int i = 0; i < 100; ++i) {
        governor.record(StepKind::Decode, 0, 1.0);
        governor.record(StepKind::Decode, 1, 0.0);
        governor.record(StepKind::Decode, 1, -1.0);
        governor.record(StepKind::Decode, 1, std::nan(""));
        CHECK(governor.n_threads(StepKind::Decode) == 2);
    }
}
