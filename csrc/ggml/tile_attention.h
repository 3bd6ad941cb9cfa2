#pragma once
// Parts of ggml's attention of 64 rows at a time, on x86 with a cache in half precision: it turns keys and widens masks
// one number at a time through a table of 256 KiB, which takes as long as the products. With AMX these are
// tile_gemm.h's. Included by the copy of ggml-cpu's ops.cpp (see cmake/own_copies.cmake).

#include "ggml/lanes.h"
#include "ggml/masked_cells.h"
#include "ggml/tile_gemm.h"

namespace shimmy {

// columns[d * width + i] = keys[i][d] for `n` keys of `size` halves, `stride` bytes apart. Returns how many it has
// turned.
static inline int turn_keys(float * columns, int width, const char * keys, size_t stride, int n, int64_t size) {
    int i = 0;
#if defined(SHIMMY_LANES)
    for (; size % LANES == 0 && i + LANES <= n; i += LANES) {
        for (int64_t d = 0; d < size; d += LANES) {
            Vec square[LANES];
            for (int c = 0; c < LANES; ++c) {
                square[c] = load_half((const ggml_fp16_t *)(keys + (i + c) * stride) + d);
            }
            transpose(square);
            for (int c = 0; c < LANES; ++c) {
                GGML_F32_VEC_STORE(columns + (d + c) * width + i, square[c]);
            }
        }
    }
#endif
    return i;
}

// row[i] = slope * mask[i]. Returns how many of the `n` it has widened.
static inline int widen_mask(float * row, const ggml_fp16_t * mask, float slope, int n) {
    int i = 0;
#if defined(SHIMMY_LANES)
    for (; i + LANES <= n; i += LANES) {
        GGML_F32_VEC_STORE(row + i, GGML_F32_VEC_MUL(load_half(mask + i), GGML_F32_VEC_SET1(slope)));
    }
#endif
    return i;
}

}  // namespace shimmy
