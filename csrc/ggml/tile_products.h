#pragma once
// Products of quantised weights with many rows, on x86 with AMX. Included by the copy of ggml-cpu.c (see
// cmake/own_copies.cmake), behind small_batch.h.
//
// llama.cpp multiplies numbers of 8 bits there. Since 32 weights have a scale of their own, each product of 32 numbers
// leaves the tiles to be scaled, which takes longer than the product, and weights are unpacked again for every 32 rows.
// Here weights and rows become bfloat16, scales included: sums stay in the tiles, and what is unpacked serves hundreds
// of rows. These are quantised to 8 bits first, as products with few rows do it, so that a token has the same numbers
// in a prompt as in an answer, but for a bfloat16's 8 significant bits.

#include "ggml/amx.h"

#if SHIMMY_AMX

enum {
    // What is multiplied together: two tiles of weights (unpacked, they stay in the first-level cache) with all rows, a
    // few panels one after the other (rows and sums stay in the second).
    SHIMMY_PANEL = 2 * SHIMMY_TILE,
    SHIMMY_PANEL_DEPTH = 512,
    SHIMMY_PANELS = 8,
    SHIMMY_TILED_ROWS = 512,
    SHIMMY_PAIRS = SHIMMY_TILED_ROWS / (2 * SHIMMY_TILE),
};

// Sums of a panel with 32 rows: [weights' tile + 2 * rows' tile], a weight in each row.
typedef float shimmy_sums[4][SHIMMY_TILE * SHIMMY_TILE];

// Of a thread.
struct shimmy_panel {
    char tiles[SHIMMY_PANEL * SHIMMY_PANEL_DEPTH * 2];
    shimmy_sums sums[SHIMMY_PANELS][SHIMMY_PAIRS];
};

static inline void shimmy_transpose(__m512i x[16]) {
    __m512i pairs[16], fours[16];
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        const __m512i upper_even = _mm512_shuffle_i32x4(fours[i], fours[i + 4], 0x88);
        const __m512i upper_odd = _mm512_shuffle_i32x4(fours[i], fours[i + 4], 0xdd);
        const __m512i lower_even = _mm512_shuffle_i32x4(fours[i + 8], fours[i + 12], 0x88);
        const __m512i lower_odd = _mm512_shuffle_i32x4(fours[i + 8], fours[i + 12], 0xdd);
        x[i] = _mm512_shuffle_i32x4(upper_even, lower_even, 0x88);
        x[i + 4] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(upper_even, lower_even, 0xdd);
        x[i + 12] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0xdd);
    }
}

static inline __m512i shimmy_to_bfloat16(__m512 first, __m512 second) {
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

// 256 numbers of up to 16 rows as right operands of eight tile products: row k of each has numbers 2k and 2k + 1 of all
// rows.
static void shimmy_pack_rows(char * tiles, const char * rows, size_t stride, int64_t n_rows) {
    for (int tile = 0; tile < QK_K / SHIMMY_TILE_DEPTH; ++tile) {
        __m512i x[SHIMMY_TILE];
        for (int i = 0; i < SHIMMY_TILE; ++i) {
            const float * row = (const float *)(rows + (size_t)i * stride) + tile * SHIMMY_TILE_DEPTH;
            x[i] = i < n_rows ? shimmy_to_bfloat16(_mm512_loadu_ps(row), _mm512_loadu_ps(row + 16))
                              : _mm512_setzero_si512();
        }
        shimmy_transpose(x);
        for (int i = 0; i < SHIMMY_TILE; ++i) {
            _mm512_store_si512(tiles + tile * SHIMMY_TILE_BYTES + 64 * i, x[i]);
        }
    }
}

// Of a block, 32 weights in each of eight tiles, `stride` bytes apart. Weights of 4 and 5 bits are looked up, among the
// 16 or 32 that have the same scale and minimum.
static inline __attribute__((always_inline)) void shimmy_q4_or_q5_K_to_tiles(char * tiles, size_t stride,
                                                                             ggml_half scale, ggml_half min,
                                                                             const uint8_t * scales_and_mins,
                                                                             const uint8_t * nibbles,
                                                                             const uint8_t * fifth_bits) {
    const __m256i both = shimmy_scales_and_mins(scales_and_mins);
    float scales[SHIMMY_BLOCK_VECTORS], mins[SHIMMY_BLOCK_VECTORS];
    _mm256_storeu_ps(scales, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(both))),
                                           _mm256_set1_ps(GGML_CPU_FP16_TO_FP32(scale))));
    _mm256_storeu_ps(mins, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_extracti128_si256(both, 1))),
                                         _mm256_set1_ps(GGML_CPU_FP16_TO_FP32(min))));
    const __m512 numbers = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512 more_numbers = _mm512_add_ps(numbers, _mm512_set1_ps(16));
    for (int i = 0; i < SHIMMY_BLOCK_VECTORS; ++i) {
        const __m512 s = _mm512_set1_ps(scales[i]);
        const __m512 m = _mm512_set1_ps(mins[i]);
        // An index is the lower five bits of 16. With weights of 4 bits the fifth is any.
        __m512i index = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(nibbles + 32 * (i / 2))));
        if (i % 2 == 1) {
            index = _mm512_srli_epi16(index, 4);
        }
        const __m512 lower = _mm512_fmsub_ps(numbers, s, m);
        __m512 upper = lower;
        if (fifth_bits != NULL) {
            const __m512i bits = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)fifth_bits));
            const __m512i fifth = i < 4 ? _mm512_slli_epi16(bits, 4 - i) : _mm512_srli_epi16(bits, i - 4);
            index = _mm512_ternarylogic_epi32(_mm512_set1_epi16(16), fifth, index, 0xca);  // its bit 4 is that one
            upper = _mm512_fmsub_ps(more_numbers, s, m);
        }
        _mm512_store_si512(tiles + (size_t)i * stride,
                           _mm512_permutexvar_epi16(index, shimmy_to_bfloat16(lower, upper)));
    }
}

static inline __m512i shimmy_scaled(__m512i low, __m512i high, __m512 scale) {
    return shimmy_to_bfloat16(_mm512_mul_ps(_mm512_cvtepi32_ps(low), scale),
                              _mm512_mul_ps(_mm512_cvtepi32_ps(high), scale));
}

static inline void shimmy_q6_K_to_tiles(char * tiles, size_t stride, const block_q6_K * block) {
    struct shimmy_weight_block w;
    shimmy_unpack_q6_K(&w, block);
    const __m512 scale = _mm512_set1_ps(w.scale);
    for (int i = 0; i < SHIMMY_BLOCK_VECTORS; ++i) {
        const __m512i low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(w.products[i]));
        const __m512i high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(w.products[i], 1));
        _mm512_store_si512(tiles + (size_t)i * stride, shimmy_scaled(low, high, scale));
    }
}

static inline void shimmy_q8_0_to_tiles(char * tiles, size_t stride, const block_q8_0 * blocks) {
    for (int i = 0; i < SHIMMY_BLOCK_VECTORS; ++i) {
        const __m512 scale = _mm512_set1_ps(GGML_CPU_FP16_TO_FP32(blocks[i].d));
        const __m512i low = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)blocks[i].qs));
        const __m512i high = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)blocks[i].qs + 1));
        _mm512_store_si512(tiles + (size_t)i * stride, shimmy_scaled(low, high, scale));
    }
}

static inline __attribute__((always_inline)) void shimmy_to_tiles(char * tiles, size_t stride, const char * row,
                                                                  int64_t block, enum ggml_type type) {
    if (type == GGML_TYPE_Q4_K) {
        const block_q4_K * b = (const block_q4_K *)row + block;
        shimmy_q4_or_q5_K_to_tiles(tiles, stride, b->d, b->dmin, b->scales, b->qs, NULL);
    } else if (type == GGML_TYPE_Q5_K) {
        const block_q5_K * b = (const block_q5_K *)row + block;
        shimmy_q4_or_q5_K_to_tiles(tiles, stride, b->d, b->dmin, b->scales, b->qs, b->qh);
    } else if (type == GGML_TYPE_Q6_K) {
        shimmy_q6_K_to_tiles(tiles, stride, (const block_q6_K *)row + block);
    } else {
        shimmy_q8_0_to_tiles(tiles, stride, (const block_q8_0 *)row + block * SHIMMY_BLOCK_VECTORS);
    }
}

static inline __attribute__((always_inline)) void shimmy_unpack_panel(char * tiles, const char * weights,
                                                                      size_t weight_stride, int64_t n_weights,
                                                                      int64_t first_block, int64_t n_blocks,
                                                                      enum ggml_type type) {
    const size_t block_size = ggml_row_size(type, QK_K);
    // What the processor has to be asked for: so many weights ahead that it is SHIMMY_AHEAD bytes.
    const size_t n_ahead = (SHIMMY_AHEAD + (size_t)n_blocks * block_size - 1) / ((size_t)n_blocks * block_size);
    for (int64_t i = 0; i < n_weights; ++i) {
        const char * row = weights + (size_t)i * weight_stride;
        const char * ahead = row + n_ahead * weight_stride;
        char * first = tiles + i / SHIMMY_TILE * SHIMMY_TILE_BYTES + i % SHIMMY_TILE * 64;
        for (int64_t block = first_block; block < first_block + n_blocks; ++block) {
            for (size_t at = 0; at < block_size; at += 64) {
                __builtin_prefetch(ahead + (size_t)block * block_size + at, 0, SHIMMY_CACHE);
            }
            shimmy_to_tiles(first + (block - first_block) * SHIMMY_BLOCK_VECTORS * 2 * SHIMMY_TILE_BYTES,
                            2 * SHIMMY_TILE_BYTES, row, block, type);
        }
    }
}

// Adds tiles of a panel . one or two tiles of rows, over n_tiles * 32 numbers, to the sums, or begins them with it.
SHIMMY_WITH_TILES static void shimmy_multiply_tiles(shimmy_sums sums, const char * weights, const char * rows,
                                                    const char * more_rows, int64_t n_tiles, bool add) {
    SHIMMY_TILE_FENCE();
    if (add) {
        _tile_loadd(0, sums[0], 64);
        _tile_loadd(1, sums[1], 64);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    if (more_rows == NULL) {
        for (int64_t i = 0; i < n_tiles; ++i) {
            _tile_loadd(4, weights + i * 2 * SHIMMY_TILE_BYTES, 64);
            _tile_loadd(5, weights + i * 2 * SHIMMY_TILE_BYTES + SHIMMY_TILE_BYTES, 64);
            _tile_loadd(6, rows + i * SHIMMY_TILE_BYTES, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 5, 6);
        }
    } else {
        if (add) {
            _tile_loadd(2, sums[2], 64);
            _tile_loadd(3, sums[3], 64);
        } else {
            _tile_zero(2);
            _tile_zero(3);
        }
        for (int64_t i = 0; i < n_tiles; ++i) {
            _tile_loadd(4, weights + i * 2 * SHIMMY_TILE_BYTES, 64);
            _tile_loadd(6, rows + i * SHIMMY_TILE_BYTES, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, weights + i * 2 * SHIMMY_TILE_BYTES + SHIMMY_TILE_BYTES, 64);
            _tile_dpbf16ps(1, 5, 6);
            _tile_loadd(7, more_rows + i * SHIMMY_TILE_BYTES, 64);
            _tile_dpbf16ps(2, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(2, sums[2], 64);
        _tile_stored(3, sums[3], 64);
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    SHIMMY_TILE_FENCE();
}

// A tile of sums, a weight in each row, as the results of n_rows rows.
static inline void shimmy_put_sums(float * results, size_t stride, const float * sums, int64_t n_rows,
                                   int64_t n_weights) {
    __m512i x[SHIMMY_TILE];
    for (int i = 0; i < SHIMMY_TILE; ++i) {
        x[i] = _mm512_load_si512(sums + SHIMMY_TILE * i);
    }
    shimmy_transpose(x);
    const __mmask16 mask = (__mmask16)((1u << MIN(n_weights, SHIMMY_TILE)) - 1);
    for (int64_t i = 0; i < MIN(n_rows, SHIMMY_TILE); ++i) {
        _mm512_mask_storeu_ps(results + (size_t)i * stride, mask, _mm512_castsi512_ps(x[i]));
    }
}

static inline bool shimmy_is_tile_product(const struct ggml_tensor * node) {
    const struct ggml_tensor * weights = node->src[0];
    const struct ggml_tensor * rows = node->src[1];
    return shimmy_multiplies(weights) && rows->type == GGML_TYPE_F32 && rows->ne[1] > SHIMMY_FEW_ROWS &&
           weights->ne[2] == 1 && weights->ne[3] == 1 && rows->ne[2] == 1 && rows->ne[3] == 1 &&
           rows->nb[0] == sizeof(float) && node->nb[0] == sizeof(float) && shimmy_has_tiles();
}

// Bytes of work space.
static inline size_t shimmy_tile_product_size(const struct ggml_tensor * node, int n_threads) {
    if (!shimmy_is_tile_product(node)) {
        return 0;
    }
    const struct ggml_tensor * rows = node->src[1];
    return 64 + (size_t)GGML_PAD(rows->ne[1], SHIMMY_TILE) * (size_t)rows->ne[0] * 2 +
           (size_t)n_threads * sizeof(struct shimmy_panel);
}

static void shimmy_unpack_any_panel(struct shimmy_panel * panel, const struct ggml_tensor * weights, int64_t first,
                                    int64_t n_weights, int64_t first_block, int64_t n_blocks) {
    const char * from = (const char *)weights->data + (size_t)first * weights->nb[1];
    switch (weights->type) {
        case GGML_TYPE_Q4_K:
            shimmy_unpack_panel(panel->tiles, from, weights->nb[1], n_weights, first_block, n_blocks, GGML_TYPE_Q4_K);
            break;
        case GGML_TYPE_Q5_K:
            shimmy_unpack_panel(panel->tiles, from, weights->nb[1], n_weights, first_block, n_blocks, GGML_TYPE_Q5_K);
            break;
        case GGML_TYPE_Q6_K:
            shimmy_unpack_panel(panel->tiles, from, weights->nb[1], n_weights, first_block, n_blocks, GGML_TYPE_Q6_K);
            break;
        default:
            shimmy_unpack_panel(panel->tiles, from, weights->nb[1], n_weights, first_block, n_blocks, GGML_TYPE_Q8_0);
            break;
    }
}

// Up to SHIMMY_PANELS panels, from the weight `begin` on, with up to SHIMMY_TILED_ROWS rows of the batch.
static void shimmy_panels_by_rows(const struct ggml_tensor * node, struct shimmy_panel * panel, const char * batch,
                                  int64_t begin, int64_t end, int64_t first_row, int64_t last_row) {
    const struct ggml_tensor * weights = node->src[0];
    const int64_t n_numbers = weights->ne[0];
    const size_t tile_stride = (size_t)n_numbers * SHIMMY_TILE * 2;  // from 16 rows to the next 16
    for (int64_t number = 0; number < n_numbers; number += SHIMMY_PANEL_DEPTH) {
        const int64_t depth = MIN(n_numbers - number, SHIMMY_PANEL_DEPTH);
        for (int64_t weight = begin; weight < end; weight += SHIMMY_PANEL) {
            shimmy_unpack_any_panel(panel, weights, weight, MIN(end - weight, SHIMMY_PANEL), number / QK_K,
                                    depth / QK_K);
            for (int64_t row = first_row; row < last_row; row += 2 * SHIMMY_TILE) {
                const char * rows = batch + (size_t)(row / SHIMMY_TILE) * tile_stride +
                                    (size_t)(number / SHIMMY_TILE_DEPTH) * SHIMMY_TILE_BYTES;
                shimmy_multiply_tiles(panel->sums[(weight - begin) / SHIMMY_PANEL][(row - first_row) / 32],
                                      panel->tiles, rows, last_row - row > SHIMMY_TILE ? rows + tile_stride : NULL,
                                      depth / SHIMMY_TILE_DEPTH, number > 0);
            }
        }
    }
    const size_t stride = node->nb[1] / sizeof(float);
    for (int64_t row = first_row; row < last_row; row += SHIMMY_TILE) {
        float * results = (float *)node->data + (size_t)row * stride;
        for (int64_t weight = begin; weight < end; weight += SHIMMY_TILE) {
            const int64_t n = (row - first_row) / SHIMMY_TILE, w = (weight - begin) / SHIMMY_TILE;
            shimmy_put_sums(results + weight, stride, panel->sums[w / 2][n / 2][w % 2 + 2 * (n % 2)], last_row - row,
                            end - weight);
        }
    }
}

// Computes the node if it is a product with many rows. Needs shimmy_tile_product_size() bytes of work space.
static bool shimmy_tile_product(const struct ggml_compute_params * params, struct ggml_tensor * node) {
    if (params->use_ref || !shimmy_is_tile_product(node)) {
        return false;
    }
    const struct ggml_tensor * rows = node->src[1];
    const int64_t n_rows = rows->ne[1];
    const int64_t n_blocks = rows->ne[0] / QK_K;
    const int64_t n_row_tiles = (n_rows + SHIMMY_TILE - 1) / SHIMMY_TILE;
    const size_t block_bytes = QK_K / SHIMMY_TILE_DEPTH * SHIMMY_TILE_BYTES;
    char * batch = (char *)GGML_PAD((uintptr_t)params->wdata, 64);
    struct shimmy_panel * panel =
        (struct shimmy_panel *)(batch + (size_t)(n_row_tiles * n_blocks) * block_bytes) + params->ith;
    for (int64_t i = params->ith; i < n_row_tiles * n_blocks; i += params->nth) {
        const int64_t row = i / n_blocks * SHIMMY_TILE;
        const float * first = (const float *)((const char *)rows->data + (size_t)row * rows->nb[1]);
        shimmy_pack_rows(batch + (size_t)i * block_bytes, (const char *)(first + i % n_blocks * QK_K), rows->nb[1],
                         n_rows - row);
    }
    const int64_t n_weights = node->src[0]->ne[1];
    const int64_t share = (n_weights + params->nth - 1) / params->nth;
    const int64_t chunk = MIN(GGML_PAD((share + 3) / 4, SHIMMY_PANEL), SHIMMY_PANELS * SHIMMY_PANEL);
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    const struct shimmy_tile_config before = shimmy_configure_tiles();
    for (int64_t begin = params->ith * chunk; begin < n_weights;
         begin = ggml_threadpool_chunk_add(params->threadpool, 1) * chunk) {
        const int64_t end = MIN(begin + chunk, n_weights);
        for (int64_t row = 0; row < n_rows; row += SHIMMY_TILED_ROWS) {
            shimmy_panels_by_rows(node, panel, batch, begin, end, row, MIN(row + SHIMMY_TILED_ROWS, n_rows));
        }
    }
    shimmy_restore_tiles(&before);
    return true;
}

#else

static inline size_t shimmy_tile_product_size(const struct ggml_tensor * node, int n_threads) {
    (void)node, (void)n_threads;
    return 0;
}

static inline bool shimmy_tile_product(const struct ggml_compute_params * params, struct ggml_tensor * node) {
    (void)params, (void)node;
    return false;
}

#endif
