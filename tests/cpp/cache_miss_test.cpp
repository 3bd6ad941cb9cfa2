#include "engine/cache_miss.h"

#include <doctest/doctest.h>

using namespace shimmy;

namespace {

struct Row {
    CacheFacts facts;  // enabled, n_prompt, usable, reused, cached, evicted, other_adapters, any
    CacheMiss expected;
};

}  // namespace

TEST_CASE("the reason of a miss") {
    const Row rows[] = {
        {{true, 10, 9, 9, 9, 0, 0, true}, CacheMiss::None},
        {{true, 1, 0, 0, 0, 0, 0, false}, CacheMiss::None},
        {{true, 10, 9, 0, 0, 0, 0, false}, CacheMiss::Empty},
        {{true, 10, 9, 0, 0, 0, 0, true}, CacheMiss::Diverged},
        {{true, 10, 9, 4, 4, 0, 0, true}, CacheMiss::Diverged},
        {{true, 10, 9, 4, 4, 4, 4, true}, CacheMiss::Diverged},
        {{true, 10, 9, 4, 4, 0, 6, true}, CacheMiss::Adapters},
        {{true, 10, 9, 0, 0, 0, 9, false}, CacheMiss::Adapters},
        {{true, 10, 9, 4, 4, 7, 9, true}, CacheMiss::Evicted},
        {{true, 10, 9, 0, 0, 7, 0, false}, CacheMiss::Evicted},
        {{true, 10, 9, 0, 7, 9, 9, true}, CacheMiss::Uncuttable},
        {{true, 10, 0, 0, 0, 0, 0, true}, CacheMiss::Disabled},
        {{false, 10, 9, 0, 0, 0, 0, false}, CacheMiss::Disabled},
    };
    for (const auto & row : rows) {
        CHECK(classify_miss(row.facts) == row.expected);
    }
}
