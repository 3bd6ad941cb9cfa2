#pragma once
// For our copy of ggml-cuda's mmq.cuh (cmake/own_copies.cmake). A product of few rows has few tiles, so each is shared
// out along its sum among many blocks; a second kernel adds their parts. ggml-cuda's looks for the parts of a tile one
// after the other, a division for each, and takes as long as the product itself: a quarter of a step of 64 rows. Here
// every thread looks at one block, and more of them add. To the same bits: in its order.

#include <cstdint>

#include "common.cuh"

namespace shimmy {

struct PartialTiles {
    static constexpr int n_threads = 256;
    static constexpr int columns = 16;  // of dst that a block adds

    int n_blocks;    // of the product, at most n_threads
    int tile_units;  // along the sum of a tile
    int unit_step;   // a block begins at a multiple of it
    int n_tiles;
    int I, J;  // rows and columns of a tile; J is a multiple of 8, I of 32
    int n_column_tiles, n_channels, n_samples;
    int n_rows, n_columns;
    int64_t column_stride, channel_stride, sample_stride;

    // Where block `b` begins, in units of all tiles.
    __device__ __forceinline__ int begin(int b) const {
        const int at = static_cast<int>(static_cast<int64_t>(b) * n_tiles * tile_units / n_blocks);
        return at - at % tile_units % unit_step;
    }
};

// partial: [n_blocks][J][I], of the tile that a block left unfinished. Blocks of 32 x 8 threads, x: of the tile, or of
// the product's block that finished it, whichever are fewer; y: of 32 of its rows; z: of its columns.
static __global__ void add_partial_tiles_kernel(float * dst, const float * partial, const PartialTiles tiles) {
    __shared__ int parts[PartialTiles::n_threads];
    __shared__ int counts[PartialTiles::n_threads / WARP_SIZE];
    int tile = blockIdx.x;
    if (tiles.n_tiles > tiles.n_blocks) {
        const int begin = tiles.begin(blockIdx.x);
        const int end = tiles.begin(blockIdx.x + 1);
        tile = begin / tiles.tile_units;
        if (begin == end || begin % tiles.tile_units == 0 ||
            (end / tiles.tile_units == tile && end % tiles.tile_units != 0)) {
            ggml_cuda_pdl_sync();  // who waits for this kernel waits for what went before, too
            return;
        }
    }
    const int b = threadIdx.y * WARP_SIZE + threadIdx.x;
    bool left = false;  // it left a part of this tile
    if (b < tiles.n_blocks) {
        const int end = tiles.begin(b + 1);
        left = tiles.begin(b) != end && end / tiles.tile_units == tile && end % tiles.tile_units != 0;
    }
    const unsigned voted = __ballot_sync(0xFFFFFFFF, left);
    if (threadIdx.x == 0) {
        counts[threadIdx.y] = __popc(voted);
    }
    __syncthreads();
    int n_parts = 0;
    int after = threadIdx.x == WARP_SIZE - 1 ? 0 : __popc(voted >> (threadIdx.x + 1));
    for (int warp = 0; warp < PartialTiles::n_threads / WARP_SIZE; ++warp) {
        n_parts += counts[warp];
        after += warp > static_cast<int>(threadIdx.y) ? counts[warp] : 0;
    }
    if (left) {
        parts[after] = b;  // last first
    }
    __syncthreads();
    if (n_parts == 0) {
        ggml_cuda_pdl_sync();
        return;
    }

    int rest = tile;
    const int column_tile = rest % tiles.n_column_tiles;
    rest /= tiles.n_column_tiles;
    const int channel = rest % tiles.n_channels;
    rest /= tiles.n_channels;
    const int sample = rest % tiles.n_samples;
    const int row = blockIdx.y * WARP_SIZE + threadIdx.x;
    const int first = blockIdx.z * PartialTiles::columns + threadIdx.y;
    const int second = first + PartialTiles::columns / 2;
    const bool has_second = second < tiles.J;
    const int64_t size = static_cast<int64_t>(tiles.I) * tiles.J;
    const float * firsts = partial + first * tiles.I + row;
    const float * seconds = partial + (has_second ? second : first) * tiles.I + row;
    float first_sum = 0.0f;
    float second_sum = 0.0f;
    ggml_cuda_pdl_sync();
#pragma unroll 4
    for (int n = 0; n < n_parts; ++n) {
        first_sum += firsts[parts[n] * size];
        second_sum += seconds[parts[n] * size];
    }
    const int dst_row = rest / tiles.n_samples * tiles.I + row;
    const int dst_column = column_tile * tiles.J;
    dst += sample * tiles.sample_stride + channel * tiles.channel_stride + dst_row;
    if (dst_row < tiles.n_rows && dst_column + first < tiles.n_columns) {
        dst[(dst_column + first) * tiles.column_stride] += first_sum;
    }
    if (has_second && dst_row < tiles.n_rows && dst_column + second < tiles.n_columns) {
        dst[(dst_column + second) * tiles.column_stride] += second_sum;
    }
}

// False: ggml-cuda's kernel is to do it.
static inline bool add_partial_tiles(float * dst, const float * partial, const PartialTiles & tiles,
                                     cudaStream_t stream) {
    if (tiles.n_blocks > PartialTiles::n_threads) {
        return false;
    }
    const dim3 grid(tiles.n_tiles < tiles.n_blocks ? tiles.n_tiles : tiles.n_blocks, tiles.I / WARP_SIZE,
                    (tiles.J + PartialTiles::columns - 1) / PartialTiles::columns);
    const ggml_cuda_kernel_launch_params launch(grid, dim3(WARP_SIZE, PartialTiles::n_threads / WARP_SIZE), size_t{0},
                                                stream);
    ggml_cuda_kernel_launch(add_partial_tiles_kernel, launch, dst, partial, tiles);
    return true;
}

}  // namespace shimmy
