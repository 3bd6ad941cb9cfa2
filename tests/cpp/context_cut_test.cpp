#include "engine/context_cut.h"

#include <doctest/doctest.h>

using shimmy::context_cut;

TEST_CASE("half of what follows the kept tokens goes") {
    CHECK(context_cut(100, 10, 1) == 45);
    CHECK(context_cut(101, 10, 1) == 45);
    CHECK(context_cut(100, 1, 1) == 49);
}

TEST_CASE("the last tokens stay") {
    CHECK(context_cut(100, 10, 60) == 30);
    CHECK(context_cut(100, 10, 89) == 1);
    CHECK(context_cut(100, 10, 90) == 0);
    CHECK(context_cut(100, 10, 200) == 0);
}

TEST_CASE("there is always a token to go, or none is named") {
    for (size_t n_tokens = 0; n_tokens < 40; ++n_tokens) {
        for (size_t n_keep = 0; n_keep < 45; ++n_keep) {
            for (size_t n_last = 1; n_last < 45; ++n_last) {
                const size_t n = context_cut(n_tokens, n_keep, n_last);
                CHECK((n > 0) == (n_tokens > n_keep + n_last));
                CHECK((n == 0 || n_keep + n + n_last <= n_tokens));
            }
        }
    }
}
