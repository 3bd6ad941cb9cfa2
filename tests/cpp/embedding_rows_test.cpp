// Cutting and normalising embeddings.

#include "engine/embedding_rows.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace shimmy;

TEST_CASE("rows are cut to their first values") {
    const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
    CHECK(cut_rows(rows, 3, 3) == rows);
    CHECK(cut_rows(rows, 3, 2) == std::vector<float>{1, 2, 4, 5});
    CHECK(cut_rows(rows, 3, 1) == std::vector<float>{1, 4});
    CHECK(cut_rows({}, 3, 1).empty());
}

TEST_CASE("every row is divided by its own norm") {
    std::vector<float> rows = {3, 4, 0, 0, -2, 0};
    normalize_rows(rows, 2);
    CHECK(rows[0] == doctest::Approx(0.6));
    CHECK(rows[1] == doctest::Approx(0.8));
    CHECK(rows[2] == 0);
    CHECK(rows[3] == 0);
    CHECK(rows[4] == doctest::Approx(-1));
}

TEST_CASE("large and small values neither overflow nor vanish") {
    std::vector<float> rows = {3e38F, 3e38F, 1e-38F, 1e-38F};
    normalize_rows(rows, 2);
    for (const float value : rows) {
        CHECK(value == doctest::Approx(std::sqrt(0.5)));
    }
}

TEST_CASE("what is not finite is found") {
    CHECK(all_finite(std::vector<float>{1, -3e38F, 0}));
    CHECK(!all_finite(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()}));
    CHECK(!all_finite(std::vector<float>{-std::numeric_limits<float>::infinity()}));
}
