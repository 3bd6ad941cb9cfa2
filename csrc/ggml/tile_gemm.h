#pragma once
// Products of matrices of single precision on x86 with AMX, for attention of 64 rows at a time. Included by
// tile_attention.h.
//
// Each number is taken as the sum of two of bfloat16, and the product of the lesser parts is left out: 16 bits are kept
// where cache and queries have 11. Three products in tiles take a fifth of the time of one with AVX-512.

#include "ggml/amx.h"

#if SHIMMY_AMX

#include <algorithm>

namespace shimmy {

// Two rows of 16 numbers each, higher and lesser parts, as one row of a tile: the first row's numbers at even places.
struct TwoParts {
    __m512i higher;
    __m512i lesser;
};

inline TwoParts two_parts(__m512 first, __m512 second) {
    const auto widen = [](__m256bh x) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16));
    };
    const __m256bh first_higher = _mm512_cvtneps_pbh(first);
    const __m256bh second_higher = _mm512_cvtneps_pbh(second);
    return {_mm512_inserti64x4(_mm512_castsi256_si512((__m256i)first_higher), (__m256i)second_higher, 1),
            (__m512i)_mm512_cvtne2ps_pbh(_mm512_sub_ps(second, widen(second_higher)),
                                         _mm512_sub_ps(first, widen(first_higher)))};
}

class TileGemm {
  public:
    // c[i][j] += sum over k of a[i][k] * b[k][j], rows being contiguous. False, and nothing done, without AMX or for
    // other sizes than whole tiles.
    static bool add(float * c, const float * a, const float * b, int64_t m, int64_t k, int64_t n) {
        if (!shimmy_has_tiles() || m > MAX_M || m % (2 * SHIMMY_TILE) != 0 || k % SHIMMY_TILE_DEPTH != 0 ||
            n % (2 * SHIMMY_TILE) != 0) {
            return false;
        }
        TileGemm gemm;
        for (int64_t at = 0; at < k; at += MAX_K) {
            gemm.add_part(c, a + at, b + at * n, m, k, std::min(k - at, MAX_K), n);
        }
        return true;
    }

  private:
    static constexpr int64_t MAX_M = 64;
    static constexpr int64_t MAX_K = 128;
    static constexpr int64_t TILES = MAX_K / SHIMMY_TILE_DEPTH;

    struct Tile {
        alignas(64) char bytes[SHIMMY_TILE_BYTES];
    };
    struct Parts {
        Tile higher;
        Tile lesser;
    };

    // k: numbers of each row of a, of which part_k are multiplied.
    void add_part(float * c, const float * a, const float * b, int64_t m, int64_t k, int64_t part_k, int64_t n) {
        const int64_t n_tiles = part_k / SHIMMY_TILE_DEPTH;
        for (int64_t i = 0; i < m; ++i) {
            for (int64_t tile = 0; tile < n_tiles; ++tile) {
                const float * from = a + i * k + tile * SHIMMY_TILE_DEPTH;
                put(left_[i / SHIMMY_TILE][tile], i % SHIMMY_TILE,
                    two_parts(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16)));
            }
        }
        const __m512i interleaved = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                                     7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        const auto before = shimmy_configure_tiles();
        for (int64_t j = 0; j < n; j += 2 * SHIMMY_TILE) {
            for (int64_t pair = 0; pair < part_k / 2; ++pair) {
                for (int64_t half = 0; half < 2; ++half) {
                    const float * from = b + 2 * pair * n + j + half * SHIMMY_TILE;
                    const TwoParts parts = two_parts(_mm512_loadu_ps(from), _mm512_loadu_ps(from + n));
                    put(right_[half][pair / SHIMMY_TILE], pair % SHIMMY_TILE,
                        {_mm512_permutexvar_epi16(interleaved, parts.higher),
                         _mm512_permutexvar_epi16(interleaved, parts.lesser)});
                }
            }
            for (int64_t i = 0; i < m / SHIMMY_TILE; i += 2) {
                multiply(c + i * SHIMMY_TILE * n + j, n, left_[i], left_[i + 1], n_tiles);
            }
        }
        shimmy_restore_tiles(&before);
    }

    static void put(Parts & tile, int64_t row, const TwoParts & parts) {
        _mm512_store_si512(tile.higher.bytes + 64 * row, parts.higher);
        _mm512_store_si512(tile.lesser.bytes + 64 * row, parts.lesser);
    }

    SHIMMY_WITH_TILES void multiply(float * c, int64_t n, const Parts * upper, const Parts * lower, int64_t n_tiles) {
        const int64_t stride = n * static_cast<int64_t>(sizeof(float));
        float * c_lower = c + SHIMMY_TILE * n;
        SHIMMY_TILE_FENCE();
        _tile_loadd(0, c, stride);
        _tile_loadd(1, c + SHIMMY_TILE, stride);
        _tile_loadd(2, c_lower, stride);
        _tile_loadd(3, c_lower + SHIMMY_TILE, stride);
        for (int64_t i = 0; i < n_tiles; ++i) {
            _tile_loadd(4, upper[i].higher.bytes, 64);
            _tile_loadd(5, lower[i].higher.bytes, 64);
            _tile_loadd(6, right_[0][i].lesser.bytes, 64);
            _tile_loadd(7, right_[1][i].lesser.bytes, 64);
            multiply_four();
            _tile_loadd(6, right_[0][i].higher.bytes, 64);
            _tile_loadd(7, right_[1][i].higher.bytes, 64);
            multiply_four();
            _tile_loadd(4, upper[i].lesser.bytes, 64);
            _tile_loadd(5, lower[i].lesser.bytes, 64);
            multiply_four();
        }
        _tile_stored(0, c, stride);
        _tile_stored(1, c + SHIMMY_TILE, stride);
        _tile_stored(2, c_lower, stride);
        _tile_stored(3, c_lower + SHIMMY_TILE, stride);
        SHIMMY_TILE_FENCE();
    }

    SHIMMY_WITH_TILES static void multiply_four() {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }

    Parts left_[MAX_M / SHIMMY_TILE][TILES];
    Parts right_[2][TILES];
};

}  // namespace shimmy

#endif

namespace shimmy {

static inline bool add_tile_product(float * c, const float * a, const float * b, int64_t m, int64_t k, int64_t n) {
#if SHIMMY_AMX
    return TileGemm::add(c, a, b, m, k, n);
#else
    (void)c, (void)a, (void)b, (void)m, (void)k, (void)n;
    return false;
#endif
}

}  // namespace shimmy
