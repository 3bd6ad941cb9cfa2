#pragma once
// Force-included into ggml-cpu's ops.cpp (see cmake/own_copies.cmake).
//
// Attention of a row goes over all cells in use and asks its mask at each of them, once per head and layer. In a cache
// that sequences share most belong to others, or to prefixes that nobody uses now: those are passed by in blocks.
#include <stdint.h>
#include <string.h>

// The first cell from `i` on whose mask is not -inf; `n` where there is none. Without a mask `i`.
static inline int64_t shimmy_next_cell(const uint16_t * mask, int64_t i, int64_t n) {
    enum { MASKED = 0xFC00, BLOCK = 32 };
    if (mask == NULL) {
        return i;
    }
    while (i < n && mask[i] == MASKED) {
        ++i;
        while (n - i >= BLOCK) {
            uint16_t rest[BLOCK];
            uint16_t others = 0;
            memcpy(rest, mask + i, sizeof(rest));
            for (int k = 0; k < BLOCK; ++k) {
                others |= (uint16_t)(rest[k] ^ MASKED);
            }
            if (others != 0) {
                break;
            }
            i += BLOCK;
        }
    }
    return i;
}
