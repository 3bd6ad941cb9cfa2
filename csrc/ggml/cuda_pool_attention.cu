// ggml-cuda's attention computes a tile of rows with every cell of the pool, and masks those of other sequences: of 64
// that decode, 63 in 64. Here the cells that some row of a tile sees are listed first, once for all layers, and the
// tile is computed with these. It is ggml-cuda's own code for a tile (flash_attn_ext_f16_process_tile with a list, as
// models with sparse attention have it); tiles are small, so that lists are short, and the cells of a list are shared
// out among several blocks, whose parts of the sums are added up at the end.
#include "ggml/cuda_pool_attention.h"

#include <algorithm>
#include <cfloat>
#include <cstdint>

#include "fattn-mma-f16.cuh"
#include "ggml/cuda_graph_scope.h"

namespace shimmy {
namespace {

constexpr int least_seqs = 4;
constexpr int least_cells = 1024;  // of the pool that are in use
constexpr int few_rows = 64;       // so many have the smallest tiles
constexpr int few_columns = 8;     // of a tile of these: rows times heads that share their keys
constexpr int many_columns = 32;   // of others
constexpr int most_splits = 8;
constexpr int64_t most_bytes = 16 << 20;  // of all lists, and of all parts of sums

constexpr int list_threads = 1024;
constexpr int cells_per_thread = 8;

struct Shape {
    int n_rows;
    int n_heads;
    int n_kv_heads;
    int gqa_ratio;
    int n_cells;
    int n_tiles;       // of rows
    int n_head_tiles;  // of heads with the same keys
    int n_splits;
};

// Block of a tile: which part of the list it has comes last, so that those of one part run beside each other.
struct Place {
    int tile, head_tile, kv_head, split;
};

__host__ __device__ int block_of(const Shape & shape, const Place & place) {
    return ((place.split * shape.n_kv_heads + place.kv_head) * shape.n_head_tiles + place.head_tile) * shape.n_tiles +
           place.tile;
}

__device__ Place place_of(const Shape & shape, int block) {
    Place place;
    place.tile = block % shape.n_tiles;
    block /= shape.n_tiles;
    place.head_tile = block % shape.n_head_tiles;
    block /= shape.n_head_tiles;
    place.kv_head = block % shape.n_kv_heads;
    place.split = block / shape.n_kv_heads;
    return place;
}

// cells: [n_tiles][n_cells], in ascending order; counts: [n_tiles]. n_cells is a multiple of 8.
__global__ void list_visible_cells(const char * mask, int64_t row_bytes, int n_rows, int rows_per_tile, int n_cells,
                                   int * cells, int * counts) {
    ggml_cuda_pdl_sync();
    __shared__ int before[list_threads / WARP_SIZE];
    const int first_row = blockIdx.x * rows_per_tile;
    const int end_row = min(first_row + rows_per_tile, n_rows);
    const int warp = threadIdx.x / WARP_SIZE;
    const int lane = threadIdx.x % WARP_SIZE;
    int * list = cells + static_cast<int64_t>(blockIdx.x) * n_cells;
    int n_listed = 0;
    for (int begin = 0; begin < n_cells; begin += list_threads * cells_per_thread) {
        const int cell = begin + static_cast<int>(threadIdx.x) * cells_per_thread;
        uint32_t visible = 0;  // a bit of each
        if (cell < n_cells) {
            for (int row = first_row; row < end_row; ++row) {
                const uint4 eight = *reinterpret_cast<const uint4 *>(mask + row * row_bytes + cell * sizeof(half));
                const uint32_t pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
                for (int k = 0; k < 4; ++k) {  // 0xFC00 is minus infinity
                    visible |= ((pairs[k] & 0xFFFFu) != 0xFC00u ? 1u : 0u) << (2 * k);
                    visible |= (pairs[k] >> 16 != 0xFC00u ? 1u : 0u) << (2 * k + 1);
                }
            }
        }
        const int n = __popc(visible);
        int end = n;  // of this thread's, in the warp
        for (int offset = 1; offset < WARP_SIZE; offset *= 2) {
            const int other = __shfl_up_sync(0xFFFFFFFF, end, offset, WARP_SIZE);
            end += lane >= offset ? other : 0;
        }
        if (lane == WARP_SIZE - 1) {
            before[warp] = end;
        }
        __syncthreads();
        int total = 0;
        int at = n_listed + end - n;
        for (int w = 0; w < list_threads / WARP_SIZE; ++w) {
            at += w < warp ? before[w] : 0;
            total += before[w];
        }
        for (int k = 0; k < cells_per_thread; ++k) {
            if (visible >> k & 1) {
                list[at++] = cell + k;
            }
        }
        n_listed += total;
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        counts[blockIdx.x] = n_listed;
    }
}

// partial: [n_splits][n_rows][n_heads][D], not divided by the sum of weights; summaries: of each block, [rows][heads]
// of its tile, the highest product and the sum of weights.
template <int D, int ncols1, int ncols2>
__launch_bounds__(ggml_cuda_fattn_mma_get_nthreads(D, D, ncols1 * ncols2),
                  ggml_cuda_fattn_mma_get_occupancy(D, D, ncols1 * ncols2)) __global__
    void attend(const char * Q, const char * K, const char * V, const char * mask, const char * sinks,
                const int * cells, const int * counts, float * partial, float2 * summaries, Shape shape, uint3 rows,
                float scale, int nb01, int nb02, int nb11, int nb12, int nb21, int nb22, int nb31) {
    ggml_cuda_pdl_sync();
#if defined(FLASH_ATTN_AVAILABLE) && defined(TURING_MMA_AVAILABLE)
    constexpr int ncols = ncols1 * ncols2;
    constexpr int nbatch_fa = ggml_cuda_fattn_mma_get_nbatch_fa(D, D, ncols);
    constexpr int nwarps = ggml_cuda_fattn_mma_get_nthreads(D, D, ncols) / WARP_SIZE;
    const Place place = place_of(shape, blockIdx.x);
    const int n_listed = counts[place.tile];
    const int n_batches = (n_listed + nbatch_fa - 1) / nbatch_fa;
    const int each = (n_batches + shape.n_splits - 1) / shape.n_splits;
    const int begin = place.split * each;
    const int end = min(begin + each, n_batches);
    if (begin >= end) {
        const int column = threadIdx.y * WARP_SIZE + threadIdx.x;
        if (column < ncols) {
            summaries[blockIdx.x * ncols + column] = make_float2(-FLT_MAX / 2.0f, 0.0f);
        }
        return;
    }
    const int head = place.kv_head * shape.gqa_ratio + place.head_tile * ncols2;
    float * out = partial + (static_cast<int64_t>(place.split) * shape.n_rows * shape.n_heads + head) * D;
    flash_attn_ext_f16_process_tile<D, D, ncols1, ncols2, nwarps, /*use_logit_softcap=*/false, /*V_is_K_view=*/false,
                                    /*use_sparse=*/true, /*needs_fixup=*/true, /*is_fixup=*/false>(
        reinterpret_cast<const float2 *>(Q + static_cast<int64_t>(nb02) * head),
        reinterpret_cast<const half2 *>(K + static_cast<int64_t>(nb12) * place.kv_head),
        reinterpret_cast<const half2 *>(V + static_cast<int64_t>(nb22) * place.kv_head),
        reinterpret_cast<const half *>(mask), cells + static_cast<int64_t>(place.tile) * shape.n_cells,
        sinks && place.split == 0 ? reinterpret_cast<const float *>(sinks) + head : nullptr,
        reinterpret_cast<float2 *>(out), summaries, scale, /*slope=*/1.0f, /*logit_softcap=*/0.0f, rows, shape.n_heads,
        shape.gqa_ratio, n_listed, nb01 / static_cast<int>(sizeof(float2)), nb02 / static_cast<int>(sizeof(float2)),
        nb11 / static_cast<int>(sizeof(half2)), nb21 / static_cast<int>(sizeof(half2)),
        nb31 / static_cast<int>(sizeof(half)), place.tile, place.head_tile, begin, end);
#else
    GGML_UNUSED_VARS(Q, K, V, mask, sinks, cells, counts, partial, summaries, shape, rows, scale, nb01, nb02, nb11,
                     nb12, nb21, nb22, nb31);
    NO_DEVICE_CODE;
#endif
}

// A block of D threads for each row and head; dst: [n_rows][n_heads][D].
template <int D, int ncols1, int ncols2>
__global__ void add_splits(const float * partial, const float2 * summaries, float * dst, Shape shape) {
    ggml_cuda_pdl_sync();
    const int row = blockIdx.x;
    const int head = blockIdx.y;
    const int in_group = head % shape.gqa_ratio;
    const int column = row % ncols1 * ncols2 + in_group % ncols2;
    const int64_t at = (static_cast<int64_t>(row) * shape.n_heads + head) * D + threadIdx.x;
    float highest = -FLT_MAX;
    float weights = 0.0f;
    float sum = 0.0f;
    for (int split = 0; split < shape.n_splits; ++split) {
        const int block = block_of(shape, {row / ncols1, in_group / ncols2, head / shape.gqa_ratio, split});
        const float2 summary = summaries[static_cast<int64_t>(block) * ncols1 * ncols2 + column];
        if (summary.y <= 0.0f) {
            continue;  // it saw nothing of this row's
        }
        const float next = fmaxf(highest, summary.x);
        const float old_share = expf(highest - next);
        const float share = expf(summary.x - next);
        sum = sum * old_share + share * partial[split * static_cast<int64_t>(shape.n_rows) * shape.n_heads * D + at];
        weights = weights * old_share + share * summary.y;
        highest = next;
    }
    dst[at] = weights == 0.0f ? 0.0f : sum / weights;  // of a row that sees nothing; NaN stays NaN
}

int columns_per_tile(const ggml_tensor * dst) {
    return dst->src[0]->ne[1] <= few_rows ? few_columns : many_columns;
}

int heads_per_tile(const ggml_tensor * dst) {
    const int64_t gqa_ratio = dst->src[0]->ne[2] / dst->src[1]->ne[2];
    return gqa_ratio > 4 ? 8 : gqa_ratio > 2 ? 4 : 2;
}

int rows_per_tile(const ggml_tensor * dst) {
    return columns_per_tile(dst) / heads_per_tile(dst);
}

int64_t tiles_of(const ggml_tensor * dst) {
    return (dst->src[0]->ne[1] + rows_per_tile(dst) - 1) / rows_per_tile(dst);
}

Shape shape_of(const ggml_tensor * dst, int n_multiprocessors) {
    const ggml_tensor * Q = dst->src[0];
    const ggml_tensor * K = dst->src[1];
    Shape shape{};
    shape.n_rows = static_cast<int>(Q->ne[1]);
    shape.n_heads = static_cast<int>(Q->ne[2]);
    shape.n_kv_heads = static_cast<int>(K->ne[2]);
    shape.gqa_ratio = shape.n_heads / shape.n_kv_heads;
    shape.n_cells = static_cast<int>(K->ne[1]);
    shape.n_tiles = static_cast<int>(tiles_of(dst));
    shape.n_head_tiles = (shape.gqa_ratio + heads_per_tile(dst) - 1) / heads_per_tile(dst);
    // Lists of a step that decodes are about as long as one another: so many blocks as run at once. Beside prompts they
    // are not, and twice as many share the work better.
    const int n_resident = 2 * n_multiprocessors;
    const int n_blocks = shape.n_tiles * shape.n_head_tiles * shape.n_kv_heads;
    const int wanted =
        columns_per_tile(dst) == few_columns ? n_resident / n_blocks : 1 + (2 * n_resident - 1) / n_blocks;
    const auto most = static_cast<int>(most_bytes / static_cast<int64_t>(ggml_nelements(dst) * sizeof(float)));
    shape.n_splits = std::max(1, std::min({wanted, most_splits, most}));
    return shape;
}

struct Lists {
    const int * cells;
    const int * counts;
};

// `own` gets the memory where the graph's other layers do not share it.
Lists list_cells(ggml_backend_cuda_context & ctx, const ggml_tensor * dst, const Shape & shape,
                 ggml_cuda_pool_alloc<char> & own) {
    const ggml_tensor * mask = dst->src[3];
    const int rows = rows_per_tile(dst);
    const size_t size = pool_attention_list_size(dst);
    const auto found = CudaGraphScope::lists(ctx, mask, rows, size);
    int * cells = reinterpret_cast<int *>(found.memory ? found.memory : own.alloc(size));
    int * counts = cells + static_cast<size_t>(shape.n_tiles) * shape.n_cells;
    if (!found.known) {
        const ggml_cuda_kernel_launch_params launch(dim3(shape.n_tiles), dim3(list_threads), size_t{0}, ctx.stream());
        ggml_cuda_kernel_launch(list_visible_cells, launch, static_cast<const char *>(mask->data),
                                static_cast<int64_t>(mask->nb[1]), shape.n_rows, rows, shape.n_cells, cells, counts);
    }
    return {cells, counts};
}

// As in ggml_cuda_flash_attn_ext_mma_f16_case, with one stage: lists are read without a second one.
template <int D, int ncols1, int ncols2>
size_t shared_size(int cc) {
    constexpr int ncols = ncols1 * ncols2;
    const int nbatch_fa = ggml_cuda_fattn_mma_get_nbatch_fa(D, D, ncols, cc);
    const int nbatch_K2 = ggml_cuda_fattn_mma_get_nbatch_K2(D, D, ncols, cc);
    const int nbatch_V2 = ggml_cuda_fattn_mma_get_nbatch_V2(D, D, ncols, cc);
    const int nbatch_combine = ggml_cuda_fattn_mma_get_nbatch_combine(D, D, ncols, cc);
    const int nwarps = ggml_cuda_fattn_mma_get_nthreads(D, D, ncols, cc) / WARP_SIZE;
    const bool swizzled = ggml_cuda_fattn_mma_get_swizzled(D, D, ncols1, ncols2, cc);
    const int stride_K = ggml_cuda_fattn_mma_get_stride_tile(nbatch_K2, swizzled);
    const int stride_V = ggml_cuda_fattn_mma_get_stride_tile(nbatch_V2, swizzled);
    const size_t for_KV = nbatch_fa * std::max(stride_K, stride_V) * sizeof(half2);
    const size_t for_Q = ncols * (D / 2 + 4) * sizeof(half2);
    const size_t for_mask = ncols1 * (nbatch_fa / 2 + 4) * sizeof(half2);
    const size_t for_combine = nwarps * std::min(ncols, get_cols_per_warp(cc)) * (nbatch_combine + 4) * sizeof(half2);
    const bool Q_in_reg = ggml_cuda_fattn_mma_get_Q_in_reg(D, D, ncols, cc);
    return std::max(for_combine, Q_in_reg ? std::max(for_Q, for_KV + for_mask) : for_Q + for_KV + for_mask);
}

template <int D, int ncols1, int ncols2>
void compute(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    const ggml_tensor * Q = dst->src[0];
    const ggml_tensor * K = dst->src[1];
    const ggml_tensor * V = dst->src[2];
    const ggml_tensor * mask = dst->src[3];
    const ggml_tensor * sinks = dst->src[4];
    constexpr int ncols = ncols1 * ncols2;
    const int device = ggml_cuda_get_device();
    const auto & info = ggml_cuda_info().devices[device];
    const Shape shape = shape_of(dst, info.nsm);
    ggml_cuda_pool_alloc<char> own_lists(ctx.pool());
    const Lists lists = list_cells(ctx, dst, shape, own_lists);

    const auto kernel = attend<D, ncols1, ncols2>;
    const size_t shared_bytes = shared_size<D, ncols1, ncols2>(info.cc);
    static bool limit_raised[GGML_CUDA_MAX_DEVICES] = {};
    if (!limit_raised[device]) {
        CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
        limit_raised[device] = true;
    }
    const int n_blocks = shape.n_tiles * shape.n_head_tiles * shape.n_kv_heads * shape.n_splits;
    const int nwarps = ggml_cuda_fattn_mma_get_nthreads(D, D, ncols, info.cc) / WARP_SIZE;
    ggml_cuda_pool_alloc<float> partial(ctx.pool(), static_cast<size_t>(shape.n_splits) * ggml_nelements(dst));
    ggml_cuda_pool_alloc<float2> summaries(ctx.pool(), static_cast<size_t>(n_blocks) * ncols);
    float scale = 0.0f;
    memcpy(&scale, dst->op_params, sizeof(scale));
    const ggml_cuda_kernel_launch_params launch(dim3(n_blocks), dim3(WARP_SIZE, nwarps), shared_bytes, ctx.stream());
    ggml_cuda_kernel_launch(kernel, launch, static_cast<const char *>(Q->data), static_cast<const char *>(K->data),
                            static_cast<const char *>(V->data), static_cast<const char *>(mask->data),
                            sinks ? static_cast<const char *>(sinks->data) : nullptr, lists.cells, lists.counts,
                            partial.get(), summaries.get(), shape,
                            init_fastdiv_values(static_cast<uint64_t>(shape.n_rows)), scale, static_cast<int>(Q->nb[1]),
                            static_cast<int>(Q->nb[2]), static_cast<int>(K->nb[1]), static_cast<int>(K->nb[2]),
                            static_cast<int>(V->nb[1]), static_cast<int>(V->nb[2]), static_cast<int>(mask->nb[1]));
    const ggml_cuda_kernel_launch_params last(dim3(shape.n_rows, shape.n_heads), dim3(D), size_t{0}, ctx.stream());
    ggml_cuda_kernel_launch(add_splits<D, ncols1, ncols2>, last, static_cast<const float *>(partial.get()),
                            static_cast<const float2 *>(summaries.get()), static_cast<float *>(dst->data), shape);
}

template <int D, int ncols2>
void compute_rows(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    if (columns_per_tile(dst) == few_columns) {
        compute<D, few_columns / ncols2, ncols2>(ctx, dst);
    } else {
        compute<D, many_columns / ncols2, ncols2>(ctx, dst);
    }
}

template <int D>
void compute_heads(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    switch (heads_per_tile(dst)) {
        case 8:
            return compute_rows<D, 8>(ctx, dst);
        case 4:
            return compute_rows<D, 4>(ctx, dst);
        default:
            return compute_rows<D, 2>(ctx, dst);
    }
}

// What the templates above, and ggml-cuda's tiles, take for granted.
bool is_supported(const ggml_tensor * dst) {
    const ggml_tensor * Q = dst->src[0];
    const ggml_tensor * K = dst->src[1];
    const ggml_tensor * V = dst->src[2];
    const ggml_tensor * mask = dst->src[3];
    float max_bias = 0.0f;
    float softcap = 0.0f;
    memcpy(&max_bias, dst->op_params + 1, sizeof(max_bias));
    memcpy(&softcap, dst->op_params + 2, sizeof(softcap));
    const bool plain = mask && max_bias == 0.0f && softcap == 0.0f && ggml_get_op_params_i32(dst, 4) == 0;
    if (!plain || (K->ne[0] != 64 && K->ne[0] != 128) || Q->ne[2] < 2 * K->ne[2] || K->type != GGML_TYPE_F16 ||
        V->type != GGML_TYPE_F16 || mask->type != GGML_TYPE_F16 || mask->ne[2] != 1 || mask->ne[3] != 1 ||
        Q->ne[3] != 1 || K->ne[0] != V->ne[0] || K->ne[1] % FATTN_KQ_STRIDE != 0 || mask->ne[0] != K->ne[1]) {
        return false;
    }
    for (const ggml_tensor * tensor : {Q, K, V, mask}) {
        for (int i = 1; i < GGML_MAX_DIMS; ++i) {
            if (tensor->nb[i] % 16 != 0) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace

size_t pool_attention_list_size(const ggml_tensor * dst) {
    const ggml_tensor * K = dst->src[1];
    const int cc = ggml_cuda_info().devices[ggml_cuda_get_device()].cc;
    if (ggml_get_op_params_i32(dst, seqs_param) < least_seqs || K->ne[1] < least_cells || !ampere_mma_available(cc) ||
        !is_supported(dst)) {
        return 0;
    }
    const int64_t size = tiles_of(dst) * (K->ne[1] + 1) * static_cast<int64_t>(sizeof(int));
    return size <= most_bytes ? static_cast<size_t>(size) : 0;
}

bool pool_attention(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    if (pool_attention_list_size(dst) == 0) {
        return false;
    }
    if (dst->src[1]->ne[0] == 64) {
        compute_heads<64>(ctx, dst);
    } else {
        compute_heads<128>(ctx, dst);
    }
    return true;
}

}  // namespace shimmy
