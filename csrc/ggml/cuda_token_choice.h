#pragma once
// Included by the copy of ggml-cuda's argmax.cu (see cmake/own_copies.cmake): chooses tokens as token_choice.h says.
//
// A row is read once, by as many blocks as it has chunks: each leaves the highest logit of its chunk and the sum of
// weights below that one. A second kernel finds from these the chunk that has the token, and reads that again.
#include <cfloat>
#include <cstdint>

#include "common.cuh"

namespace shimmy {

constexpr int choice_threads = 256;
constexpr int choice_values = 16;  // of each thread in a chunk
constexpr int choice_chunk = choice_threads * choice_values;

struct ChunkSummary {
    float highest;
    int first;      // of the highest, in the row; -1: a logit is NaN or +inf
    float weights;  // sum of e^((logit - highest) * scale)
};

static __device__ __forceinline__ bool is_nan_or_infinity(float value) {
    const uint32_t bits = __float_as_uint(value);
    return (bits & 0x7F800000u) == 0x7F800000u && bits != 0xFF800000u;
}

// Whether (value, index) comes before the other: higher, or as high and first.
static __device__ __forceinline__ bool precedes(float value, int index, float other, int other_index) {
    return value > other || (value == other && index < other_index);
}

static __global__ void summarize_chunks(const float * __restrict__ logits, const float * __restrict__ numbers,
                                        ChunkSummary * __restrict__ summaries, int n) {
    __shared__ float highests[choice_threads / WARP_SIZE];
    __shared__ int firsts[choice_threads / WARP_SIZE];
    __shared__ float sums[choice_threads / WARP_SIZE];
    const float * row = logits + (int64_t)blockIdx.y * n;
    const float scale = numbers[2 * blockIdx.y];
    const int begin = blockIdx.x * choice_chunk;

    float values[choice_values];
    float highest = -INFINITY;
    int first = INT32_MAX;
    int broken = 0;
#pragma unroll
    for (int k = 0; k < choice_values; ++k) {
        const int i = begin + k * choice_threads + threadIdx.x;
        values[k] = i < n ? row[i] : -INFINITY;
        broken |= is_nan_or_infinity(values[k]);
        if (i < n && precedes(values[k], i, highest, first)) {
            highest = values[k];
            first = i;
        }
    }
    broken = __syncthreads_or(broken);
    for (int offset = WARP_SIZE / 2; offset > 0; offset >>= 1) {
        const float other = __shfl_xor_sync(0xFFFFFFFF, highest, offset, WARP_SIZE);
        const int other_first = __shfl_xor_sync(0xFFFFFFFF, first, offset, WARP_SIZE);
        if (precedes(other, other_first, highest, first)) {
            highest = other;
            first = other_first;
        }
    }
    if (threadIdx.x % WARP_SIZE == 0) {
        highests[threadIdx.x / WARP_SIZE] = highest;
        firsts[threadIdx.x / WARP_SIZE] = first;
    }
    __syncthreads();
    for (int warp = 0; warp < choice_threads / WARP_SIZE; ++warp) {
        if (precedes(highests[warp], firsts[warp], highest, first)) {
            highest = highests[warp];
            first = firsts[warp];
        }
    }

    float weights = 0.0f;
    if (scale != 0.0f && highest > -INFINITY && !broken) {
#pragma unroll
        for (int k = 0; k < choice_values; ++k) {
            weights += expf((values[k] - highest) * scale);
        }
        for (int offset = WARP_SIZE / 2; offset > 0; offset >>= 1) {
            weights += __shfl_xor_sync(0xFFFFFFFF, weights, offset, WARP_SIZE);
        }
        if (threadIdx.x % WARP_SIZE == 0) {
            sums[threadIdx.x / WARP_SIZE] = weights;
        }
        __syncthreads();
        weights = 0.0f;
        for (int warp = 0; warp < choice_threads / WARP_SIZE; ++warp) {
            weights += sums[warp];
        }
    }
    if (threadIdx.x == 0) {
        summaries[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = {highest, broken ? -1 : first, weights};
    }
}

static __global__ void choose_from_chunks(const float * __restrict__ logits, const float * __restrict__ numbers,
                                          const ChunkSummary * __restrict__ summaries, int32_t * __restrict__ chosen,
                                          int n, int n_chunks) {
    __shared__ ChunkSummary chunks[choice_threads];
    __shared__ double weights_of[choice_threads];  // of each thread's tokens
    __shared__ double target;                      // the sum of weights in the chunk that the token reaches
    __shared__ int chunk;
    const float * row = logits + (int64_t)blockIdx.x * n;
    const float scale = numbers[2 * blockIdx.x];

    if (threadIdx.x < n_chunks) {
        chunks[threadIdx.x] = summaries[(int64_t)blockIdx.x * n_chunks + threadIdx.x];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        float highest = -INFINITY;
        int first = -1;
        bool broken = false;
        for (int c = 0; c < n_chunks; ++c) {
            broken |= chunks[c].first < 0;
            if (chunks[c].highest > highest) {
                highest = chunks[c].highest;
                first = chunks[c].first;
            }
        }
        chunk = -1;
        chosen[blockIdx.x] = broken ? -1 : first;
        if (!broken && first >= 0 && scale != 0.0f) {
            double sum = 0;
            for (int c = 0; c < n_chunks; ++c) {
                weights_of[c] = chunks[c].weights * (double)expf((chunks[c].highest - highest) * scale);
                sum += weights_of[c];
            }
            double left = sum * numbers[2 * blockIdx.x + 1];
            for (int c = 0; c < n_chunks; ++c) {
                if (weights_of[c] > 0) {
                    chunk = c;
                    target = fmax(left / weights_of[c] * chunks[c].weights, DBL_MIN);
                    if (left <= weights_of[c]) {
                        break;
                    }
                    left -= weights_of[c];
                }
            }
        }
    }
    __syncthreads();
    if (chunk < 0) {
        return;
    }

    const int begin = chunk * choice_chunk + threadIdx.x * choice_values;
    float weights[choice_values];
    double own = 0;
#pragma unroll
    for (int k = 0; k < choice_values; ++k) {
        weights[k] = begin + k < n ? expf((row[begin + k] - chunks[chunk].highest) * scale) : 0.0f;
        own += weights[k];
    }
    weights_of[threadIdx.x] = own;
    __syncthreads();
    double before = 0;
    for (int t = 0; t < threadIdx.x; ++t) {
        before += weights_of[t];
    }
    if (threadIdx.x == choice_threads - 1) {
        target = fmin(target, before + own);  // it came of other roundings
    }
    __syncthreads();
    if (before < target && target <= before + own) {  // one thread
        double left = target - before;
        for (int k = 0; k < choice_values && left > 0; ++k) {
            if (weights[k] > 0.0f) {
                chosen[blockIdx.x] = begin + k;
                left -= weights[k];
            }
        }
    }
}

static void choose_tokens(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    const ggml_tensor * logits = dst->src[0];
    const ggml_tensor * numbers = dst->src[1];
    const int n = (int)logits->ne[0];
    const int n_rows = (int)ggml_nrows(logits);
    const int n_chunks = (n + choice_chunk - 1) / choice_chunk;
    GGML_ASSERT(n_chunks <= choice_threads && ggml_is_contiguous(logits) && ggml_is_contiguous(numbers));
    ggml_cuda_pool_alloc<ChunkSummary> summaries(ctx.pool(), (size_t)n_rows * n_chunks);
    summarize_chunks<<<dim3(n_chunks, n_rows), choice_threads, 0, ctx.stream()>>>(
        (const float *)logits->data, (const float *)numbers->data, summaries.get(), n);
    choose_from_chunks<<<n_rows, choice_threads, 0, ctx.stream()>>>(
        (const float *)logits->data, (const float *)numbers->data, summaries.get(), (int32_t *)dst->data, n, n_chunks);
}

}  // namespace shimmy
