#pragma once
// What is done to embeddings once they are computed. Pure functions.

#include <cstddef>
#include <span>
#include <vector>

namespace shimmy {

// Whether no value is infinite or not a number.
bool all_finite(std::span<const float> values);

// Rows of `width` values, one after the other, cut to their first `dimensions` (Matryoshka: arXiv 2205.13147).
// dimensions is 1 to width.
std::vector<float> cut_rows(std::vector<float> rows, size_t width, size_t dimensions);

// Each row of `width` finite values divided by its L2 norm; a row of zeros stays as it is.
void normalize_rows(std::span<float> rows, size_t width);

}  // namespace shimmy
