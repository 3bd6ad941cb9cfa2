#include "engine/embedding_rows.h"

#include <algorithm>
#include <cmath>

namespace shimmy {

bool all_finite(std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

std::vector<float> cut_rows(std::vector<float> rows, size_t width, size_t dimensions) {
    if (dimensions == width) {
        return rows;
    }
    const size_t n_rows = rows.size() / width;
    for (size_t row = 0; row < n_rows; ++row) {
        std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(row * width), dimensions,
                    rows.begin() + static_cast<std::ptrdiff_t>(row * dimensions));
    }
    rows.resize(n_rows * dimensions);
    return rows;
}

void normalize_rows(std::span<float> rows, size_t width) {
    for (size_t begin = 0; begin + width <= rows.size(); begin += width) {
        const auto row = rows.subspan(begin, width);
        double sum = 0;
        for (const float value : row) {
            sum += static_cast<double>(value) * static_cast<double>(value);
        }
        if (sum > 0) {
            const double scale = 1 / std::sqrt(sum);
            for (float & value : row) {
                value = static_cast<float>(value * scale);
            }
        }
    }
}

}  // namespace shimmy
