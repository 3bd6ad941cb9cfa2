#pragma once
// Products of quantised weights with a small batch of rows, on x86 with AVX-512 VNNI. Included by the copy of
// ggml-cpu.c (see cmake/own_copies.cmake).
//
// ggml multiplies a few rows as it does one: it unpacks each weight anew for every row, or for four of them, and eight
// rows take four times as long as one although they read the same bytes. Here a block of 256 weights is unpacked once,
// to 16-bit products with its scales, which fit since weights have 4 to 6 bits and scales 6 to 8; each row then costs
// a 16-bit dot product. Weights of Q8_0 are multiplied as they are, without their signs having to be taken out for each
// row. Rows are quantised as ggml does it, so that results differ by the order of sums only, and those of Q8_0 not at
// all.

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "ggml/amx.h"
#include "ggml/vnni.h"
#include "quants.h"
#include "simd-mappings.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    SHIMMY_SMALL_BATCH = 24,  // rows; from here on ggml's tiles are as fast
    SHIMMY_FEW_ROWS = 10,     // and from here on AMX's (tile_products.h), where there are some
    SHIMMY_BLOCK_VECTORS = QK_K / 32,
    SHIMMY_ADDED = 128,  // makes 8-bit numbers unsigned, as VNNI wants one factor
// Bytes. The processor's own prefetching ends at each page, and DRAM takes as long as 20 blocks do; a chunk of a
// thread begins without. Processors with AMX wait for fewer lines of the first-level cache at a time than of the
// second.
#if SHIMMY_AMX
    SHIMMY_AHEAD = 4096,
    SHIMMY_CACHE = 2,  // level, as __builtin_prefetch counts them
#else
    SHIMMY_AHEAD = 8192,
    SHIMMY_CACHE = 3,
#endif
    SHIMMY_CHUNK = 256 << 10,
};

// Asks for the n bytes that come SHIMMY_AHEAD behind `weights`.
static inline void shimmy_prefetch(const char * weights, size_t n) {
    for (size_t i = 0; i < n; i += 64) {
        __builtin_prefetch(weights + SHIMMY_AHEAD + i, 0, SHIMMY_CACHE);
    }
}

#if SHIMMY_VNNI

// A block of 256 numbers of a row of the batch, quantised to 8 bits. `sums`, of 32 each, twice: for two rows of
// weights.
struct shimmy_row_block {
    int16_t quants[QK_K];
    int16_t sums[16];
    float scale;
    float padding[7];
};

// A block of 256 weights: products with their scales, to be scaled by `scale`; less the minimums, scaled by
// `min_scale`.
struct shimmy_weight_block {
    __m512i products[SHIMMY_BLOCK_VECTORS];
    __m128i mins;
    float scale;
    float min_scale;
};

// A block of 256 numbers of a row of the batch as Q8_0 quantises them, plus 128, with the scales of 32 each.
struct shimmy_q8_0_row_block {
    uint8_t quants[QK_K];
    float scales[SHIMMY_BLOCK_VECTORS];
};

static inline __m512i shimmy_lane(__m512i x, int lane) {
    return _mm512_permutexvar_epi16(_mm512_set1_epi16((short)lane), x);
}

// The 8 scales and 8 minimums of 6 bits each that Q4_K and Q5_K have in 12 bytes, as 16-bit numbers.
static inline __m256i shimmy_scales_and_mins(const uint8_t * packed) {
    uint32_t x[4];
    memcpy(x, packed, 12);
    const uint32_t low = 0x0f0f0f0fu, six = 0x3f3f3f3fu, two = 0x03030303u;
    x[3] = ((x[2] >> 4) & low) | (((x[1] >> 6) & two) << 4);
    const uint32_t mins = x[1] & six;
    x[1] = (x[2] & low) | (((x[0] >> 6) & two) << 4);
    x[2] = mins;
    x[0] &= six;
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)x));
}

static inline void shimmy_unpack_q4_K(struct shimmy_weight_block * w, const block_q4_K * b) {
    const __m256i scales_and_mins = shimmy_scales_and_mins(b->scales);
    const __m512i scales = _mm512_castsi256_si512(scales_and_mins);
    const __m256i low = _mm256_set1_epi8(15);
    for (int i = 0; i < 4; ++i) {
        const __m256i q = _mm256_loadu_si256((const __m256i *)(b->qs + 32 * i));
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(q, 4), low);
        w->products[2 * i] =
            _mm512_mullo_epi16(_mm512_cvtepu8_epi16(_mm256_and_si256(q, low)), shimmy_lane(scales, 2 * i));
        w->products[2 * i + 1] = _mm512_mullo_epi16(_mm512_cvtepu8_epi16(upper), shimmy_lane(scales, 2 * i + 1));
    }
    w->mins = _mm256_extracti128_si256(scales_and_mins, 1);
    w->scale = GGML_CPU_FP16_TO_FP32(b->d);
    w->min_scale = GGML_CPU_FP16_TO_FP32(b->dmin);
}

static inline void shimmy_unpack_q5_K(struct shimmy_weight_block * w, const block_q5_K * b) {
    const __m256i scales_and_mins = shimmy_scales_and_mins(b->scales);
    const __m512i scales = _mm512_castsi256_si512(scales_and_mins);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i fifth = _mm256_set1_epi8(16);
    const __m256i high = _mm256_loadu_si256((const __m256i *)b->qh);
    for (int i = 0; i < 8; ++i) {
        const __m256i q = _mm256_loadu_si256((const __m256i *)(b->qs + 32 * (i / 2)));
        const __m256i nibbles = _mm256_and_si256(i % 2 == 0 ? q : _mm256_srli_epi16(q, 4), low);
        const __m256i bit = i < 4 ? _mm256_slli_epi16(high, 4 - i) : _mm256_srli_epi16(high, i - 4);
        w->products[i] = _mm512_mullo_epi16(
            _mm512_cvtepu8_epi16(_mm256_or_si256(nibbles, _mm256_and_si256(bit, fifth))), shimmy_lane(scales, i));
    }
    w->mins = _mm256_extracti128_si256(scales_and_mins, 1);
    w->scale = GGML_CPU_FP16_TO_FP32(b->d);
    w->min_scale = GGML_CPU_FP16_TO_FP32(b->dmin);
}

static inline void shimmy_unpack_q6_K(struct shimmy_weight_block * w, const block_q6_K * b) {
    const __m512i scales = _mm512_castsi256_si512(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b->scales)));
    const __m512i upper_half = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(1), 1);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i fifth_and_sixth = _mm256_set1_epi8(48);
    for (int half = 0; half < 2; ++half) {
        const __m256i high = _mm256_loadu_si256((const __m256i *)(b->qh + 32 * half));
        const __m256i bits[4] = {_mm256_slli_epi16(high, 4), _mm256_slli_epi16(high, 2), high,
                                 _mm256_srli_epi16(high, 2)};
        for (int i = 0; i < 4; ++i) {
            const __m256i q = _mm256_loadu_si256((const __m256i *)(b->ql + 64 * half + 32 * (i % 2)));
            const __m256i nibbles = _mm256_and_si256(i < 2 ? q : _mm256_srli_epi16(q, 4), low);
            const __m256i weights = _mm256_or_si256(nibbles, _mm256_and_si256(bits[i], fifth_and_sixth));
            const int group = 4 * half + i;
            const __m512i lanes = _mm512_add_epi16(_mm512_set1_epi16((short)(2 * group)), upper_half);
            w->products[group] =
                _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_cvtepu8_epi16(weights), _mm512_set1_epi16(32)),
                                   _mm512_permutexvar_epi16(lanes, scales));
        }
    }
    w->scale = GGML_CPU_FP16_TO_FP32(b->d);
}

static inline void shimmy_unpack(struct shimmy_weight_block * w, const char * weights, int64_t block,
                                 enum ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_K:
            shimmy_unpack_q4_K(w, (const block_q4_K *)weights + block);
            break;
        case GGML_TYPE_Q5_K:
            shimmy_unpack_q5_K(w, (const block_q5_K *)weights + block);
            break;
        default:
            shimmy_unpack_q6_K(w, (const block_q6_K *)weights + block);
            break;
    }
}

static inline __m512i shimmy_dot(const __m512i * products, const int16_t * quants) {
    __m512i even = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
    for (int i = 0; i < SHIMMY_BLOCK_VECTORS; i += 2) {
        even = _mm512_dpwssd_epi32(even, products[i], _mm512_loadu_si512(quants + 32 * i));
        odd = _mm512_dpwssd_epi32(odd, products[i + 1], _mm512_loadu_si512(quants + 32 * i + 32));
    }
    return _mm512_add_epi32(even, odd);
}

// results[row * stride + i] = weights i . row, for two rows of weights, of `n_blocks` each, with all rows of the batch.
static inline __attribute__((always_inline)) void shimmy_two_by_batch(float * results, size_t stride,
                                                                      const char * first, const char * second,
                                                                      const struct shimmy_row_block * batch,
                                                                      int64_t n_blocks, int n_rows,
                                                                      enum ggml_type type) {
    const bool has_mins = type != GGML_TYPE_Q6_K;
    const size_t block_size = type == GGML_TYPE_Q4_K   ? sizeof(block_q4_K)
                              : type == GGML_TYPE_Q5_K ? sizeof(block_q5_K)
                                                       : sizeof(block_q6_K);
    __m512 sums[SHIMMY_SMALL_BATCH][2];
    __m256 mins[SHIMMY_SMALL_BATCH];
    for (int row = 0; row < n_rows; ++row) {
        sums[row][0] = sums[row][1] = _mm512_setzero_ps();
        mins[row] = _mm256_setzero_ps();
    }
    for (int64_t block = 0; block < n_blocks; ++block) {
        struct shimmy_weight_block w[2];
        shimmy_prefetch(first + block * block_size, block_size);
        shimmy_prefetch(second + block * block_size, block_size);
        shimmy_unpack(&w[0], first, block, type);
        shimmy_unpack(&w[1], second, block, type);
        const __m512 scale_0 = _mm512_set1_ps(w[0].scale);
        const __m512 scale_1 = _mm512_set1_ps(w[1].scale);
        const __m256i both_mins = has_mins ? _mm256_set_m128i(w[1].mins, w[0].mins) : _mm256_setzero_si256();
        const __m256 min_scales =
            has_mins ? _mm256_set_m128(_mm_set1_ps(w[1].min_scale), _mm_set1_ps(w[0].min_scale)) : _mm256_setzero_ps();
        const struct shimmy_row_block * x = batch + block * n_rows;
        for (int row = 0; row < n_rows; ++row) {
            const __m512 scale = _mm512_set1_ps(x[row].scale);
            const __m512 dot_0 = _mm512_cvtepi32_ps(shimmy_dot(w[0].products, x[row].quants));
            const __m512 dot_1 = _mm512_cvtepi32_ps(shimmy_dot(w[1].products, x[row].quants));
            sums[row][0] = _mm512_fmadd_ps(dot_0, _mm512_mul_ps(scale, scale_0), sums[row][0]);
            sums[row][1] = _mm512_fmadd_ps(dot_1, _mm512_mul_ps(scale, scale_1), sums[row][1]);
            if (has_mins) {
                const __m256i dot = _mm256_madd_epi16(both_mins, _mm256_loadu_si256((const __m256i *)x[row].sums));
                mins[row] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot),
                                            _mm256_mul_ps(_mm512_castps512_ps256(scale), min_scales), mins[row]);
            }
        }
    }
    for (int row = 0; row < n_rows; ++row) {
        for (int i = 0; i < 2; ++i) {
            const __m128 min = i == 0 ? _mm256_castps256_ps128(mins[row]) : _mm256_extractf128_ps(mins[row], 1);
            const __m512 less = _mm512_insertf32x4(_mm512_setzero_ps(), min, 0);
            results[(size_t)row * stride + i] = _mm512_reduce_add_ps(_mm512_sub_ps(sums[row][i], less));
        }
    }
}

static inline uint64_t shimmy_four_scales(const block_q8_0 * blocks) {
    return (uint64_t)blocks[0].d | (uint64_t)blocks[1].d << 16 | (uint64_t)blocks[2].d << 32 |
           (uint64_t)blocks[3].d << 48;
}

// The sum of 8 lanes in the order of ggml's.
static inline float shimmy_sum(__m256 x) {
    __m128 sum = _mm_add_ps(_mm256_extractf128_ps(x, 1), _mm256_castps256_ps128(x));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

// The same for Q8_0, whose 32 weights have a scale of their own: the first row of weights in the lower half of each
// vector, the second in the upper. Adds up in the order of ggml's products, and so gives the same bits as they do.
static inline __attribute__((always_inline)) void shimmy_two_q8_0_by_batch(float * results, size_t stride,
                                                                           const char * first, const char * second,
                                                                           const struct shimmy_q8_0_row_block * batch,
                                                                           int64_t n_blocks, int n_rows) {
    enum { BYTES = SHIMMY_BLOCK_VECTORS * sizeof(block_q8_0) };
    const __m512i added = _mm512_set1_epi8((char)SHIMMY_ADDED);
    const __m512i halves = _mm512_set_epi32(8, 8, 8, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 sums[SHIMMY_SMALL_BATCH];
    for (int row = 0; row < n_rows; ++row) {
        sums[row] = _mm512_setzero_ps();
    }
    for (int64_t block = 0; block < n_blocks; ++block) {
        shimmy_prefetch(first + block * BYTES, BYTES);
        shimmy_prefetch(second + block * BYTES, BYTES);
        const block_q8_0 * lower = (const block_q8_0 *)(first + block * BYTES);
        const block_q8_0 * upper = (const block_q8_0 *)(second + block * BYTES);
        __m512i quants[SHIMMY_BLOCK_VECTORS];
        __m512i less[SHIMMY_BLOCK_VECTORS];
        __m512 scales[SHIMMY_BLOCK_VECTORS];
        const __m512 all_scales = _mm512_cvtph_ps(
            _mm256_set_epi64x((long long)shimmy_four_scales(upper + 4), (long long)shimmy_four_scales(upper),
                              (long long)shimmy_four_scales(lower + 4), (long long)shimmy_four_scales(lower)));
        for (int v = 0; v < SHIMMY_BLOCK_VECTORS; ++v) {
            quants[v] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)lower[v].qs)),
                                           _mm256_loadu_si256((const __m256i *)upper[v].qs), 1);
            less[v] =
                _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_dpbusd_epi32(_mm512_setzero_si512(), added, quants[v]));
            scales[v] = _mm512_permutexvar_ps(_mm512_add_epi32(halves, _mm512_set1_epi32(v)), all_scales);
        }
        const struct shimmy_q8_0_row_block * x = batch + block * n_rows;
        for (int row = 0; row < n_rows; ++row) {
            __m512 sum = sums[row];
            for (int v = 0; v < SHIMMY_BLOCK_VECTORS; ++v) {
                const __m512i numbers =
                    _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(x[row].quants + 32 * v)));
                const __m512i dot = _mm512_dpbusd_epi32(less[v], numbers, quants[v]);
                const __m512 scale = _mm512_mul_ps(scales[v], _mm512_set1_ps(x[row].scales[v]));
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum);
            }
            sums[row] = sum;
        }
    }
    for (int row = 0; row < n_rows; ++row) {
        results[(size_t)row * stride] = shimmy_sum(_mm512_castps512_ps256(sums[row]));
        results[(size_t)row * stride + 1] = shimmy_sum(_mm512_extractf32x8_ps(sums[row], 1));
    }
}

static void shimmy_weights_by_batch(float * results, size_t stride, const char * weights, size_t weight_stride,
                                    int64_t n_weights, const void * batch, int64_t n_blocks, int n_rows,
                                    enum ggml_type type) {
    for (int64_t i = 0; i < n_weights; i += 2) {
        const char * first = weights + (size_t)i * weight_stride;
        float * out = results + i;
        switch (type) {
            case GGML_TYPE_Q8_0:
                shimmy_two_q8_0_by_batch(out, stride, first, first + weight_stride, batch, n_blocks, n_rows);
                break;
            case GGML_TYPE_Q4_K:
                shimmy_two_by_batch(out, stride, first, first + weight_stride, batch, n_blocks, n_rows, GGML_TYPE_Q4_K);
                break;
            case GGML_TYPE_Q5_K:
                shimmy_two_by_batch(out, stride, first, first + weight_stride, batch, n_blocks, n_rows, GGML_TYPE_Q5_K);
                break;
            default:
                shimmy_two_by_batch(out, stride, first, first + weight_stride, batch, n_blocks, n_rows, GGML_TYPE_Q6_K);
                break;
        }
    }
}

static inline bool shimmy_is_small_batch(const struct ggml_tensor * node) {
    const struct ggml_tensor * weights = node->src[0];
    const struct ggml_tensor * rows = node->src[1];
    return shimmy_multiplies(weights) && rows->type == GGML_TYPE_F32 &&
           rows->ne[1] <= (shimmy_has_tiles() ? SHIMMY_FEW_ROWS : SHIMMY_SMALL_BATCH) && weights->ne[1] % 2 == 0 &&
           weights->ne[2] == 1 && weights->ne[3] == 1 && rows->ne[2] == 1 && rows->ne[3] == 1 &&
           rows->nb[0] == sizeof(float) && node->nb[0] == sizeof(float);
}

static inline size_t shimmy_small_batch_size(const struct ggml_tensor * node) {
    const int64_t n_blocks = node->src[1]->ne[0] / QK_K * node->src[1]->ne[1];
    _Static_assert(sizeof(struct shimmy_q8_0_row_block) <= sizeof(struct shimmy_row_block), "either takes as much");
    return shimmy_is_small_batch(node) ? (size_t)n_blocks * sizeof(struct shimmy_row_block) + 64 : 0;
}

// Integers have no NaN: the scale of a block that has one says so.
static inline bool shimmy_has_nan(const float * row) {
    __mmask16 unordered = 0;
    for (int i = 0; i < QK_K; i += 16) {
        const __m512 x = _mm512_loadu_ps(row + i);
        unordered |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    }
    return unordered != 0;
}

static inline void shimmy_quantize(struct shimmy_row_block * x, const float * row) {
    block_q8_K block;
    quantize_row_q8_K(row, &block, QK_K);
    for (int i = 0; i < QK_K; i += 32) {
        _mm512_storeu_si512(x->quants + i, _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(block.qs + i))));
        x->sums[i / 32] = x->sums[i / 32 + 8] = (int16_t)(block.bsums[i / 16] + block.bsums[i / 16 + 1]);
    }
    x->scale = shimmy_has_nan(row) ? NAN : block.d;
}

static inline void shimmy_quantize_q8_0(struct shimmy_q8_0_row_block * x, const float * row) {
    block_q8_0 blocks[QK_K / QK8_0];
    quantize_row_q8_0(row, blocks, QK_K);
    const bool has_nan = shimmy_has_nan(row);
    for (int i = 0; i < QK_K; ++i) {
        x->quants[i] = (uint8_t)(blocks[i / QK8_0].qs[i % QK8_0] + SHIMMY_ADDED);
    }
    for (int v = 0; v < SHIMMY_BLOCK_VECTORS; ++v) {
        x->scales[v] = has_nan ? NAN : GGML_CPU_FP16_TO_FP32(blocks[v].d);
    }
}

// Computes the node if it is a product with a small batch. Needs shimmy_small_batch_size() bytes of work space.
static bool shimmy_small_batch(const struct ggml_compute_params * params, struct ggml_tensor * node) {
    if (params->use_ref || !shimmy_is_small_batch(node)) {
        return false;
    }
    const struct ggml_tensor * weights = node->src[0];
    const struct ggml_tensor * rows = node->src[1];
    const int64_t n_blocks = weights->ne[0] / QK_K;
    const int n_rows = (int)rows->ne[1];
    void * batch = (void *)GGML_PAD((uintptr_t)params->wdata, 64);
    for (int64_t i = params->ith; i < n_blocks * n_rows; i += params->nth) {
        const float * row = (const float *)((const char *)rows->data + (size_t)(i % n_rows) * rows->nb[1]);
        if (weights->type == GGML_TYPE_Q8_0) {
            shimmy_quantize_q8_0((struct shimmy_q8_0_row_block *)batch + i, row + i / n_rows * QK_K);
        } else {
            shimmy_quantize((struct shimmy_row_block *)batch + i, row + i / n_rows * QK_K);
        }
    }
    // Threads take pairs of weights, and no smaller chunks than a thread can read without waiting at each one's begin.
    const int64_t n_weights = weights->ne[1];
    const int64_t most = (n_weights + params->nth - 1) / params->nth;
    const int64_t least = MIN(most, (int64_t)(SHIMMY_CHUNK / weights->nb[1]));
    const int64_t share = ggml_is_numa() ? most : MAX(least, most / 8);
    const int64_t chunk = MAX(2, (share + 1) / 2 * 2);
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t begin = params->ith * chunk; begin < n_weights;
         begin = ggml_threadpool_chunk_add(params->threadpool, 1) * chunk) {
        const int64_t n = begin + chunk < n_weights ? chunk : n_weights - begin;
        shimmy_weights_by_batch((float *)node->data + begin, node->nb[1] / sizeof(float),
                                (const char *)weights->data + (size_t)begin * weights->nb[1], weights->nb[1], n, batch,
                                n_blocks, n_rows, weights->type);
    }
    return true;
}

#else

static inline size_t shimmy_small_batch_size(const struct ggml_tensor * node) {
    (void)node;
    return 0;
}

static inline bool shimmy_small_batch(const struct ggml_compute_params * params, struct ggml_tensor * node) {
    (void)params, (void)node;
    return false;
}

#endif
