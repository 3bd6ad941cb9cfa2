#pragma once
// Vectors for attention on x86 with a cache in half precision: 16 or 8 floats. Included by the headers that the copy of
// ggml-cpu's ops.cpp includes (see cmake/own_copies.cmake). SHIMMY_LANES says that there are any.

#include "ggml-cpu-impl.h"
#include "simd-mappings.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#if (defined(__AVX512F__) && defined(__AVX512DQ__)) || (defined(__AVX2__) && defined(__F16C__) && defined(__FMA__))
#define SHIMMY_LANES

namespace shimmy {

using Vec = GGML_F32_VEC;

enum { LANES = GGML_F32_EPR };

static inline Vec load_half(const ggml_fp16_t * x) {
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
#else
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
#endif
}

static inline Vec higher(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#else
    return _mm256_max_ps(a, b);
#endif
}

static inline __m256 halves_added(Vec x) {
#if defined(__AVX512F__)
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
#else
    return x;
#endif
}

// The sums of four vectors' lanes.
static inline __m128 lane_sums(const Vec * x) {
    const __m256 pairs = _mm256_hadd_ps(halves_added(x[0]), halves_added(x[1]));
    const __m256 other_pairs = _mm256_hadd_ps(halves_added(x[2]), halves_added(x[3]));
    const __m256 fours = _mm256_hadd_ps(pairs, other_pairs);
    return _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
}

// Turns LANES rows of LANES floats into columns.
static inline void transpose(Vec * x) {
    Vec y[LANES];
#if defined(__AVX512F__)
    // Within 128 bits by 4 x 4, then the 128-bit pieces by 4 x 4.
    for (int i = 0; i < 16; i += 4) {
        const __m512 a = _mm512_unpacklo_ps(x[i], x[i + 1]);
        const __m512 b = _mm512_unpackhi_ps(x[i], x[i + 1]);
        const __m512 c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]);
        const __m512 d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i + 0] = _mm512_shuffle_ps(a, c, 0x44);
        y[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        y[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        y[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; ++i) {
        const __m512 a = _mm512_shuffle_f32x4(y[i], y[i + 4], 0x88);
        const __m512 b = _mm512_shuffle_f32x4(y[i], y[i + 4], 0xdd);
        const __m512 c = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0x88);
        const __m512 d = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0xdd);
        x[i + 0] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#else
    for (int i = 0; i < 8; i += 4) {
        const __m256 a = _mm256_unpacklo_ps(x[i], x[i + 1]);
        const __m256 b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        const __m256 c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]);
        const __m256 d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i + 0] = _mm256_shuffle_ps(a, c, 0x44);
        y[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        y[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        y[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; ++i) {
        x[i + 0] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x31);
    }
#endif
}

}  // namespace shimmy
#endif

namespace shimmy {

// The highest of n floats, -inf of none; NaNs are passed over.
static inline float highest(const float * x, int n) {
    float result = -INFINITY;
    int i = 0;
#if defined(SHIMMY_LANES)
    Vec lanes = GGML_F32_VEC_SET1(-INFINITY);
    for (; i + LANES <= n; i += LANES) {
        lanes = higher(GGML_F32_VEC_LOAD(x + i), lanes);
    }
    float each[LANES];
    GGML_F32_VEC_STORE(each, lanes);
    result = *std::max_element(each, each + LANES);
#endif
    for (; i < n; ++i) {
        result = x[i] > result ? x[i] : result;
    }
    return result;
}

}  // namespace shimmy
