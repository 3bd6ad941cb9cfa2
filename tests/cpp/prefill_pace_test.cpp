#include "engine/prefill_pace.h"

#include <doctest/doctest.h>

using namespace shimmy;

TEST_CASE("a step takes as many tokens as its time allows") {
    PrefillPace pace(0.25, 512);
    CHECK(pace.budget() == 128);  // nothing is known yet
    pace.observe(128, 0.5);       // 256 tokens a second
    CHECK(pace.budget() == efficient_chunk);
    for (int i = 0; i < 20; ++i) {
        pace.observe(pace.budget(), pace.budget() / 800.0);
    }
    CHECK(pace.budget() == 192);
}

TEST_CASE("slow machines get the least, fast ones the most") {
    PrefillPace slow(0.25, 512);
    slow.observe(32, 10.0);
    CHECK(slow.budget() == efficient_chunk);
    PrefillPace fast(0.25, 500);
    fast.observe(512, 0.01);
    CHECK(fast.budget() == 500);
    PrefillPace small(0.25, 40);
    small.observe(32, 10.0);
    CHECK(small.budget() == 40);
}

TEST_CASE("without a time there is only the most") {
    PrefillPace pace(0, 512);
    pace.observe(32, 10.0);
    CHECK(pace.budget() == 512);
}

TEST_CASE("measurements that cannot be are ignored") {
    PrefillPace pace(0.25, 512);
    pace.observe(0, 1.0);
    pace.observe(32, 0.0);
    CHECK(pace.budget() == 128);
}
