#pragma once
// AMX: tiles of 16 rows of 64 bytes, and products of them (Sapphire Rapids and later). Linux lends them to processes
// that ask.

#include "ggml.h"
#include "ggml/vnni.h"

#if SHIMMY_VNNI && defined(__AVX512BF16__) && defined(__AMX_TILE__) && defined(__linux__) && defined(__GNUC__)
#define SHIMMY_AMX 1
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#define SHIMMY_AMX 0
#endif

static inline bool shimmy_has_tiles(void) {
#if SHIMMY_AMX
    static int known = 0;  // -1: none. Threads that find out at once find the same.
    int has = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (has == 0) {
        enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, AMX_BF16 = 1 << 22 };
        unsigned a, b, c, d;
        has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16) != 0 &&
                      syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
                  ? 1
                  : -1;
        __atomic_store_n(&known, has, __ATOMIC_RELAXED);
    }
    return has == 1;
#else
    return false;
#endif
}

#if SHIMMY_AMX

#define SHIMMY_WITH_TILES __attribute__((target("amx-tile,amx-bf16")))

// Intrinsics of tiles do not tell the compiler what memory they read and write.
#define SHIMMY_TILE_FENCE() __asm__ volatile("" ::: "memory")

enum {
    SHIMMY_TILE = 16,        // rows of a tile
    SHIMMY_TILE_DEPTH = 32,  // numbers of bfloat16 in each
    SHIMMY_TILE_BYTES = 1024,
};

// What a thread had configured before, which llama.cpp's own products want back.
struct shimmy_tile_config {
    char bytes[64] __attribute__((aligned(64)));
};

// All tiles of 16 rows of 64 bytes.
SHIMMY_WITH_TILES static inline struct shimmy_tile_config shimmy_configure_tiles(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config;
    struct shimmy_tile_config before;
    __builtin_memset(&config, 0, sizeof(config));
    config.palette = 1;
    for (int i = 0; i < 8; ++i) {
        config.row_bytes[i] = 64;
        config.rows[i] = SHIMMY_TILE;
    }
    _tile_storeconfig(before.bytes);
    SHIMMY_TILE_FENCE();
    _tile_loadconfig(&config);
    return before;
}

SHIMMY_WITH_TILES static inline void shimmy_restore_tiles(const struct shimmy_tile_config * before) {
    SHIMMY_TILE_FENCE();
    _tile_loadconfig(before->bytes);
}

#endif

// Weights in the layout of the file that small_batch.h multiplies with few rows, and tile_products.h with many.
static inline bool shimmy_multiplies(const struct ggml_tensor * weights) {
    switch (weights->type) {
        case GGML_TYPE_Q4_K:
        case GGML_TYPE_Q5_K:
        case GGML_TYPE_Q6_K:
            return true;
        case GGML_TYPE_Q8_0:
            return weights->ne[0] % 256 == 0;
        default:
            return false;
    }
}
