#pragma once
// Included by the copy of ggml-cpu's ops.cpp (see cmake/own_copies.cmake).
//
// An arg-max with a second source chooses a token of each row instead: of [2, rows] numbers a scale, one over the
// temperature, and a share. Scale 0: the first of the highest logits. Else the first token at which the sum of
// e^(logit * scale), in the order of ids, reaches that share of the whole. -1 where a logit is NaN or +inf, or all are
// -inf. csrc/ggml/cuda_token_choice.h is the same for CUDA.
#include <cmath>
#include <cstdint>
#include <limits>

namespace shimmy {

static inline int32_t chosen_token(const float * logits, int64_t n, const float * numbers) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const float scale = numbers[0];
    int64_t best = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (!(logits[i] < infinity)) {
            return -1;
        }
        best = logits[i] > logits[best] ? i : best;
    }
    const float highest = logits[best];
    if (highest == -infinity) {
        return -1;
    }
    if (scale == 0.0f) {
        return (int32_t)best;
    }
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        sum += std::exp((logits[i] - highest) * scale);
    }
    double left = sum * numbers[1];
    int64_t last = best;
    for (int64_t i = 0; i < n; ++i) {
        const double weight = std::exp((logits[i] - highest) * scale);
        if (weight > 0) {
            last = i;
            left -= weight;
            if (left <= 0) {
                break;
            }
        }
    }
    return (int32_t)last;
}

}  // namespace shimmy
