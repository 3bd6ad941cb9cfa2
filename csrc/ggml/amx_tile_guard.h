#pragma once
// Force-included into ggml's CPU backend for GCC < 14 (see cmake/llama.cmake).
//
// GCC before 14 declares that _tile_loadconfig reads 8 bytes of its 64-byte operand, so the optimiser may drop the
// stores to the other 56 and the next tile instruction faults on garbage (GCC bug 114098). This redefinition names all
// 64 bytes as an input.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 14 && defined(__AMX_TILE__)
#include <immintrin.h>

static inline void shimmy_tile_loadconfig(const void * config) {
    __asm__ volatile("ldtilecfg\t%0" : : "m"(*(const char (*)[64])config) : "memory");
}

#undef _tile_loadconfig
#define _tile_loadconfig(config) shimmy_tile_loadconfig(config)
#endif
