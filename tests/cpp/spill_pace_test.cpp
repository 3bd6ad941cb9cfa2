#include "engine/spill_pace.h"

#include <doctest/doctest.h>

using namespace shimmy;

TEST_CASE("before both are measured it is saved") {
    SpillPace pace;
    CHECK(pace.pays());
    pace.saved(100, 1.0);
    CHECK(pace.pays());
    SpillPace other;
    other.computed(100, 0.001);
    CHECK(other.pays());
}

TEST_CASE("what is computed much faster than copied is not saved") {
    SpillPace cpu;  // 500 tokens per second, copies at 100,000
    cpu.computed(500, 1.0);
    cpu.saved(1000, 0.01);
    CHECK(cpu.pays());
    SpillPace gpu;  // 40,000 tokens per second, copies at 2,000
    gpu.computed(400, 0.01);
    gpu.saved(200, 0.1);
    CHECK_FALSE(gpu.pays());
}

TEST_CASE("it is tried again after pauses that grow to a limit") {
    SpillPace pace;
    pace.computed(400, 0.01);
    int previous = 0;
    for (int round = 0; round < 10; ++round) {
        pace.saved(200, 0.1);
        int skipped = 0;
        while (!pace.pays()) {
            ++skipped;
        }
        CHECK(skipped >= previous);
        CHECK(skipped >= SpillPace::first_pause);
        CHECK(skipped <= SpillPace::last_pause);
        previous = skipped;
    }
    CHECK(previous == SpillPace::last_pause);
    for (int i = 0; i < 20; ++i) {
        pace.saved(200, 0.0001);  // cells lie together now
    }
    CHECK(pace.pays());
}

TEST_CASE("what is no measurement is ignored") {
    SpillPace pace;
    pace.computed(0, 1.0);
    pace.computed(100, 0.0);
    pace.computed(100, -1.0);
    pace.saved(0, 1.0);
    CHECK(pace.pays());
}
