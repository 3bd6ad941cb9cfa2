#include "engine/step_clock.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

using namespace shimmy;

namespace {

// Fixed part and part per token, of a machine with `load` times the work.
double affine(int32_t n, double per_token, double load = 1) {
    return load * 0.01 * (1 - per_token + per_token * n);
}

StepClock probed(double per_token) {
    StepClock clock;
    for (int round = 0; round < 3; ++round) {
        for (const int32_t n : StepClock::probe_sizes) {
            clock.observe(n, affine(n, per_token));
        }
    }
    return clock;
}

}  // namespace

TEST_CASE("nothing is known before one token and more have been measured") {
    StepClock clock;
    CHECK(clock.cost(1) == 0);
    CHECK_FALSE(clock.ready());
    clock.observe(1, 0.01);
    CHECK_FALSE(clock.ready());
    CHECK_FALSE(clock.compute_bound(1));
    CHECK(clock.cost(1) == doctest::Approx(0.01));
    CHECK(clock.cost(8) == doctest::Approx(0.08));  // no saving is assumed
    clock.observe(8, 0.02);
    CHECK(clock.ready());
    CHECK(clock.cost(8) == doctest::Approx(0.02));
    CHECK(clock.cost(1) == doctest::Approx(0.01));
}

TEST_CASE("a probe gives the curve, between and beyond its sizes") {
    const auto clock = probed(0.2);
    for (const int32_t n : {1, 2, 3, 5, 7, 8, 13, 16, 30, 64, 200}) {
        CHECK(clock.cost(n) == doctest::Approx(affine(n, 0.2)));
    }
}

TEST_CASE("steps between the sizes teach the ones around them") {
    StepClock clock;
    clock.observe(1, affine(1, 0.2));
    for (int i = 0; i < 300; ++i) {
        clock.observe(5, affine(5, 0.2));
        clock.observe(11, affine(11, 0.2));
        clock.observe(1, affine(1, 0.2));
    }
    CHECK(clock.cost(5) == doctest::Approx(affine(5, 0.2)).epsilon(0.02));
    CHECK(clock.cost(11) == doctest::Approx(affine(11, 0.2)).epsilon(0.02));
}

TEST_CASE("measurements that fit the curve change nothing") {
    auto clock = probed(0.2);
    for (const int32_t measured : {9, 7, 6, 3, 50, 5, 33, 1, 64, 24}) {
        clock.observe(measured, affine(measured, 0.2));
        for (int32_t n = 1; n <= 64; ++n) {
            CHECK(clock.cost(n) == doctest::Approx(affine(n, 0.2)));
        }
    }
}

TEST_CASE("contention moves all sizes at once, within a few steps") {
    auto clock = probed(0.2);
    for (int i = 0; i < 20; ++i) {
        clock.observe(1, affine(1, 0.2, 3));
    }
    CHECK(clock.cost(1) == doctest::Approx(affine(1, 0.2, 3)).epsilon(0.1));
    CHECK(clock.cost(16) / clock.cost(1) == doctest::Approx(affine(16, 0.2) / affine(1, 0.2)).epsilon(0.3));
    for (int i = 0; i < 40; ++i) {
        clock.observe(1, affine(1, 0.2));
    }
    CHECK(clock.cost(16) == doctest::Approx(affine(16, 0.2)).epsilon(0.1));
}

TEST_CASE("another shape is learned") {
    auto clock = probed(0.05);
    for (int i = 0; i < 400; ++i) {
        clock.observe(1, affine(1, 0.4));
        clock.observe(4, affine(4, 0.4));
    }
    CHECK(clock.cost(4) / clock.cost(1) == doctest::Approx(affine(4, 0.4) / affine(1, 0.4)).epsilon(0.05));
}

TEST_CASE("what a change of size adds is told from what the size costs") {
    auto clock = probed(0.2);
    const auto run = [&](int32_t n, int times) {
        for (int i = 0; i < times; ++i) {
            clock.observe(n, affine(n, 0.2) + (clock.last() == n ? 0 : 0.5 * affine(1, 0.2)));
        }
    };
    CHECK(clock.change() == 0);
    for (int round = 0; round < 100; ++round) {
        run(1, 10);
        run(4, 1 + round % 3);
    }
    CHECK(clock.change() == doctest::Approx(0.5 * affine(1, 0.2)).epsilon(0.2));
    CHECK(clock.cost(4) / clock.cost(1) == doctest::Approx(affine(4, 0.2) / affine(1, 0.2)).epsilon(0.1));
}

TEST_CASE("a step after one of another kind teaches nothing") {
    auto clock = probed(0.2);
    for (int i = 0; i < 50; ++i) {
        for (int step = 0; step < 10; ++step) {
            clock.observe(1, affine(1, 0.2));
        }
        clock.interrupted();
        clock.observe(1, 3 * affine(1, 0.2));
    }
    CHECK(clock.change() == 0);
    CHECK(clock.cost(1) == doctest::Approx(affine(1, 0.2)));
    CHECK(clock.last() == 1);
}

TEST_CASE("hiccups are no part of what a change of size adds") {
    auto clock = probed(0.2);
    for (int i = 0; i < 300; ++i) {
        for (int step = 0; step < 10; ++step) {
            clock.observe(1, affine(1, 0.2));
        }
        clock.observe(4, i % 4 == 0 ? 50 * affine(4, 0.2) : 1.1 * affine(4, 0.2));
        clock.observe(1, (i % 4 == 0 ? 50 : 1.1) * affine(1, 0.2));
    }
    CHECK(clock.change() < 0.3 * affine(1, 0.2));
}

TEST_CASE("one hiccup counts for little") {
    auto clock = probed(0.2);
    clock.observe(1, 10.0);
    CHECK(clock.cost(1) < 2 * affine(1, 0.2));
}

TEST_CASE("what is no measurement is ignored") {
    auto clock = probed(0.2);
    const double before = clock.cost(4);
    clock.observe(0, 1);
    clock.observe(-3, 1);
    clock.observe(65, 1);
    clock.observe(4, 0);
    clock.observe(4, -1);
    clock.observe(4, std::numeric_limits<double>::quiet_NaN());
    clock.observe(4, std::numeric_limits<double>::infinity());
    CHECK(clock.cost(4) == before);
}

TEST_CASE("a step is compute-bound where twice the tokens cost nearly twice the time") {
    CHECK(probed(1.0).compute_bound(1));
    const auto clock = probed(0.4);
    CHECK_FALSE(clock.compute_bound(4));
    CHECK(clock.compute_bound(8));
    CHECK_FALSE(probed(0.02).compute_bound(64));
}

TEST_CASE("any measurements: finite, positive and never falling") {
    std::mt19937 random(2);
    for (int round = 0; round < 200; ++round) {
        StepClock clock;
        for (uint32_t i = random() % 60; i > 0; --i) {
            clock.observe(static_cast<int32_t>(random() % 70), std::exp(static_cast<double>(random() % 40) - 20));
            double last = 0;
            for (int32_t n = 1; n < 80; ++n) {
                const double cost = clock.cost(n);
                CHECK(std::isfinite(cost));
                CHECK(cost >= last * (1 - 1e-12));
                last = cost;
            }
        }
    }
}
