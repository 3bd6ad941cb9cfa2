#include "engine/rate_meter.h"

#include <doctest/doctest.h>

using namespace shimmy;

TEST_CASE("a rate is that of the last seconds") {
    RateMeter meter;
    CHECK(meter.per_second() == 0);
    meter.record(10, 0.1);
    CHECK(meter.per_second() == doctest::Approx(100));
    for (int i = 0; i < 100; ++i) {
        meter.record(1, 0.1);
    }
    CHECK(meter.per_second() == doctest::Approx(10).epsilon(0.02));
}

TEST_CASE("time without a token counts with the next one, and time that did not pass says nothing") {
    RateMeter meter;
    meter.record(7, 0.0);
    CHECK(meter.per_second() == 0);
    meter.record(5, 0.5);
    meter.record(0, 0.25);
    CHECK(meter.per_second() == doctest::Approx(10));
    meter.record(5, 0.25);
    CHECK(meter.per_second() == doctest::Approx(10));
}
