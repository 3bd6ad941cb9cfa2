#pragma once
// For our copy of ggml-cuda's mmq.cuh (cmake/own_copies.cmake). A product whose tiles would leave multiprocessors idle
// is shared out along its sum; a second kernel adds the parts of a tile. ggml-cuda's looks for them one after the
// other, a division for each, and takes as long as a product of few rows. Here every thread looks at one block of the
// product, and reads and writes 16 bytes at a time. To the same bits: parts are added in ggml-cuda's order.

#include <cstdint>

#include "common.cuh"

namespace shimmy {

struct PartialTiles {
    int n_blocks;    // of the product
    int tile_units;  // along the sum of a tile
    int unit_step;   // a block begins at a multiple of it
    int n_tiles;
    int I, J;  // rows and columns of a tile, multiples of 32 and 8
    int n_column_tiles, n_channels, n_samples;
    int n_rows, n_columns;
    int64_t column_stride, channel_stride, sample_stride;
};

// Where the product's blocks begin, in units of all tiles: block b at b * n_tiles * tile_units / n_blocks, rounded down
// to a multiple of unit_step in its tile.
struct BlockBegins {
    static constexpr int most_blocks = 256;  // a thread for each

    int each, left_over;  // of that division
    uint3 n_blocks, tile_units, unit_step;

    explicit BlockBegins(const PartialTiles & tiles)
        : each(tiles.n_tiles * tiles.tile_units / tiles.n_blocks),
          left_over(tiles.n_tiles * tiles.tile_units % tiles.n_blocks),
          n_blocks(init_fastdiv_values(tiles.n_blocks)),
          tile_units(init_fastdiv_values(tiles.tile_units)),
          unit_step(init_fastdiv_values(tiles.unit_step)) {}

    __device__ __forceinline__ int begin(int b) const {
        const int at = b * each + static_cast<int>(fastdiv(b * left_over, n_blocks));
        return at - static_cast<int>(fastmodulo(in_tile(at), unit_step));
    }
    __device__ __forceinline__ int tile(int at) const { return static_cast<int>(fastdiv(at, tile_units)); }
    __device__ __forceinline__ int in_tile(int at) const { return static_cast<int>(fastmodulo(at, tile_units)); }

    // Whether block b ends in the middle of the tile, having computed a part of it.
    __device__ __forceinline__ bool leaves(int b, int of_tile) const {
        const int end = begin(b + 1);
        return begin(b) != end && tile(end) == of_tile && in_tile(end) != 0;
    }
};

constexpr int add_threads = BlockBegins::most_blocks;

// partial: [n_blocks][J][I], of the tile that a block left unfinished. Blocks, x: of the tile, or of the product's
// block that finished it, whichever are fewer; y: of `per_thread` columns of it for each thread, which has four rows of
// them.
template <int per_thread>
static __global__ void add_partial_tiles_kernel(float * dst, const float * partial, const PartialTiles tiles,
                                                const BlockBegins begins) {
    __shared__ int parts[add_threads];
    __shared__ int counts[add_threads / WARP_SIZE];
    const int thread = threadIdx.x;
    const int warp = thread / WARP_SIZE;
    const int lane = thread % WARP_SIZE;
    int tile = blockIdx.x;
    if (tiles.n_tiles > tiles.n_blocks) {
        const int begin = begins.begin(blockIdx.x);
        tile = begins.tile(begin);
        if (begin == begins.begin(blockIdx.x + 1) || begins.in_tile(begin) == 0 || begins.leaves(blockIdx.x, tile)) {
            ggml_cuda_pdl_sync();  // who waits for this kernel waits for what went before, too
            return;
        }
    }
    const bool left = thread < tiles.n_blocks && begins.leaves(thread, tile);
    const unsigned voted = __ballot_sync(0xFFFFFFFF, left);
    if (lane == 0) {
        counts[warp] = __popc(voted);
    }
    __syncthreads();
    int n_parts = 0;
    int after = lane == WARP_SIZE - 1 ? 0 : __popc(voted >> (lane + 1));
    for (int w = 0; w < add_threads / WARP_SIZE; ++w) {
        n_parts += counts[w];
        after += w > warp ? counts[w] : 0;
    }
    if (left) {
        parts[after] = thread;  // last first
    }
    __syncthreads();
    ggml_cuda_pdl_sync();
    if (n_parts == 0) {
        return;
    }

    const int threads_per_column = tiles.I / 4;
    const int columns_at_once = add_threads / threads_per_column;
    const int row = thread % threads_per_column * 4;
    const int first = blockIdx.y * per_thread * columns_at_once + thread / threads_per_column;
    const int64_t size = static_cast<int64_t>(tiles.I) * tiles.J;
    float4 sums[per_thread] = {};
#pragma unroll 4
    for (int n = 0; n < n_parts; ++n) {
        const float * part = partial + parts[n] * size + row;
#pragma unroll
        for (int k = 0; k < per_thread; ++k) {
            const int column = first + k * columns_at_once;
            if (column < tiles.J) {
                const float4 four = *reinterpret_cast<const float4 *>(part + column * tiles.I);
                sums[k] = make_float4(sums[k].x + four.x, sums[k].y + four.y, sums[k].z + four.z, sums[k].w + four.w);
            }
        }
    }

    int rest = tile;
    const int column_tile = rest % tiles.n_column_tiles;
    rest /= tiles.n_column_tiles;
    const int channel = rest % tiles.n_channels;
    rest /= tiles.n_channels;
    const int sample = rest % tiles.n_samples;
    const int dst_row = rest / tiles.n_samples * tiles.I + row;
    dst += sample * tiles.sample_stride + channel * tiles.channel_stride + dst_row;
#pragma unroll
    for (int k = 0; k < per_thread; ++k) {
        const int column = first + k * columns_at_once;
        const int dst_column = column_tile * tiles.J + column;
        if (column < tiles.J && dst_row < tiles.n_rows && dst_column < tiles.n_columns) {
            float4 & four = *reinterpret_cast<float4 *>(dst + dst_column * tiles.column_stride);
            four = make_float4(four.x + sums[k].x, four.y + sums[k].y, four.z + sums[k].z, four.w + sums[k].w);
        }
    }
}

// False: ggml-cuda's kernel is to do it.
static inline bool add_partial_tiles(float * dst, const float * partial, const PartialTiles & tiles,
                                     cudaStream_t stream) {
    const int64_t strides = tiles.column_stride | tiles.channel_stride | tiles.sample_stride;
    const bool fours = (strides | tiles.n_rows) % 4 == 0 && reinterpret_cast<uintptr_t>(dst) % sizeof(float4) == 0;
    if (tiles.n_blocks > BlockBegins::most_blocks || add_threads % (tiles.I / 4) != 0 || !fours) {
        return false;
    }
    const int per_thread = tiles.J > 64 ? 2 : 1;
    const int columns = per_thread * add_threads / (tiles.I / 4);
    const dim3 grid(tiles.n_tiles < tiles.n_blocks ? tiles.n_tiles : tiles.n_blocks, (tiles.J + columns - 1) / columns);
    const ggml_cuda_kernel_launch_params launch(grid, dim3(add_threads), size_t{0}, stream);
    ggml_cuda_kernel_launch(per_thread == 2 ? add_partial_tiles_kernel<2> : add_partial_tiles_kernel<1>, launch, dst,
                            partial, tiles, BlockBegins(tiles));
    return true;
}

}  // namespace shimmy
