#pragma once
// Included by the copy of ggml-cpu's ops.cpp (see cmake/own_copies.cmake).
//
// Attention goes over all cells in use and asks the mask at each of them, once per head and layer. In a cache that
// sequences share most belong to others, or to prefixes that nobody uses now: those are passed by in blocks.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The first cell from `i` on whose mask is not -inf; `n` where there is none. Without a mask `i`.
static inline int64_t shimmy_next_cell(const uint16_t * mask, int64_t i, int64_t n) {
    enum { MASKED = 0xFC00, BLOCK = 32 };
    while (mask != NULL && i < n && mask[i] == MASKED) {
        uint16_t block[BLOCK];
        uint16_t others = n - i < BLOCK;
        if (others == 0) {
            memcpy(block, mask + i, sizeof(block));
            for (int k = 0; k < BLOCK; ++k) {
                others |= (uint16_t)(block[k] ^ MASKED);
            }
        }
        i += others == 0 ? BLOCK : 1;
    }
    return i;
}

// Whether `n_rows` rows, `stride` bytes apart, mask all of the `n` cells from `i` on.
static inline bool shimmy_all_masked(const char * mask, size_t stride, int n_rows, int64_t i, int n) {
    for (int row = 0; row < n_rows; ++row) {
        if (shimmy_next_cell((const uint16_t *)(mask + (size_t)row * stride), i, i + n) < i + n) {
            return false;
        }
    }
    return true;
}
