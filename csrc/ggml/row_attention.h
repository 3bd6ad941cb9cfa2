#pragma once
// Attention of few rows, as decoding has them, on x86 with a cache in half precision. Included by the copy of
// ggml-cpu's ops.cpp behind its own attention (see cmake/own_copies.cmake), whose scratch layout and reduction it uses.
//
// ggml goes from cell to cell with one query head: it converts query and key anew, takes one exponential, and adds the
// value to a sum in half precision that it loads and stores each time. Here the query heads that share a KV head go
// together over blocks of cells: keys and values are read and converted once for all of them, exponentials are taken 16
// at a time, sums stay in registers in single precision. Blocks count the cells that a row sees, wherever they lie, so
// that a row's result does not depend on the cells of others.

#include "ggml/lanes.h"
#include "ggml/masked_cells.h"
#include "vec.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#if defined(SHIMMY_LANES)

namespace shimmy {

enum {
    CELLS = 64,         // in a block: their keys and values stay in the first cache for further heads
    MAX_VALUES = 1024,  // of a head, for the sums on the stack
    SPLIT_CELLS = 512,  // from here on a single row's cells are divided between the threads
    TILE_SPEED = 4,     // so many times as fast a tile of rows goes past a cell, at most
#if defined(__AVX512F__)
    MAX_HEADS = 4,  // 4 heads x 4 cells are 16 sums in 32 registers
#else
    MAX_HEADS = 2,  // 8 sums in 16
#endif
};

// A key or value head: the row of cell i begins at data + i * stride.
struct Rows {
    const char * data;
    size_t stride;

    const ggml_fp16_t * row(int32_t cell) const { return (const ggml_fp16_t *)(data + (size_t)cell * stride); }
};

// scores[h][i] = queries[h] . keys[cells[i]] for HEADS rows of `size` floats; `cells` is padded to a multiple of four.
template <int HEADS>
static void dot_keys(float (*scores)[CELLS], const float * const * queries, const Rows & keys, const Rows & values,
                     const int32_t * cells, int n, int64_t size) {
    for (int i = 0; i < n; i += 4) {
        const ggml_fp16_t * key[4];
        Vec sums[HEADS][4];
        for (int c = 0; c < 4; ++c) {
            key[c] = keys.row(cells[i + c]);
            _mm_prefetch((const char *)values.row(cells[i + c]), _MM_HINT_T0);
            for (int h = 0; h < HEADS; ++h) {
                sums[h][c] = GGML_F32_VEC_ZERO;
            }
        }
        for (int64_t d = 0; d < size; d += LANES) {
            Vec k[4];
            for (int c = 0; c < 4; ++c) {
                k[c] = load_half(key[c] + d);
            }
            for (int h = 0; h < HEADS; ++h) {
                const Vec q = GGML_F32_VEC_LOAD(queries[h] + d);
                for (int c = 0; c < 4; ++c) {
                    sums[h][c] = GGML_F32_VEC_FMA(sums[h][c], q, k[c]);
                }
            }
        }
        for (int h = 0; h < HEADS; ++h) {
            _mm_storeu_ps(scores[h] + i, lane_sums(sums[h]));
        }
    }
}

// sums[h][d] += sum over i of weights[h][i] * values[cells[i]][d], for WIDTH vectors from `first` on.
template <int HEADS, int WIDTH>
static void add_values(float (*sums)[MAX_VALUES], float (*weights)[CELLS], const Rows & values, const int32_t * cells,
                       int n, int64_t first) {
    Vec sum[HEADS][WIDTH];
    for (int h = 0; h < HEADS; ++h) {
        for (int w = 0; w < WIDTH; ++w) {
            sum[h][w] = GGML_F32_VEC_LOAD(sums[h] + first + w * LANES);
        }
    }
    for (int i = 0; i < n; ++i) {
        const ggml_fp16_t * value = values.row(cells[i]) + first;
        Vec v[WIDTH];
        for (int w = 0; w < WIDTH; ++w) {
            v[w] = load_half(value + w * LANES);
        }
        for (int h = 0; h < HEADS; ++h) {
            const Vec weight = GGML_F32_VEC_SET1(weights[h][i]);
            for (int w = 0; w < WIDTH; ++w) {
                sum[h][w] = GGML_F32_VEC_FMA(sum[h][w], v[w], weight);
            }
        }
    }
    for (int h = 0; h < HEADS; ++h) {
        for (int w = 0; w < WIDTH; ++w) {
            GGML_F32_VEC_STORE(sums[h] + first + w * LANES, sum[h][w]);
        }
    }
}

// What an attention node says, and where it writes.
struct Attention {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * v;
    const ggml_tensor * mask;
    const ggml_tensor * sinks;
    ggml_tensor * dst;
    float scale = 1.0f;
    float max_bias = 0.0f;
    float softcap = 0.0f;

    explicit Attention(ggml_tensor * node)
        : q(node->src[0]), k(node->src[1]), v(node->src[2]), mask(node->src[3]), sinks(node->src[4]), dst(node) {
        memcpy(&scale, (const float *)node->op_params + 0, sizeof(float));
        memcpy(&max_bias, (const float *)node->op_params + 1, sizeof(float));
        memcpy(&softcap, (const float *)node->op_params + 2, sizeof(float));
        scale = softcap != 0.0f ? scale / softcap : scale;
    }

    bool suits() const {
        return q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
               k->ne[0] % LANES == 0 && v->ne[0] % LANES == 0 && v->ne[0] <= MAX_VALUES && k->ne[2] == v->ne[2] &&
               k->ne[3] == v->ne[3] && k->ne[1] <= INT32_MAX && (mask == nullptr || mask->ne[2] == 1) &&
               q->nb[0] == sizeof(float) && dst->nb[0] == sizeof(float) &&
               (q->ne[1] < ggml_fa_tile_config::Q || rows_are_apart());
    }

    // Whether each row sees few cells and others than the next, as requests that decode do: a tile of them pays for the
    // cells of all. A prompt's rows see the cells of those before them.
    bool rows_are_apart() const {
        if (mask == nullptr || q->ne[3] != 1) {
            return false;
        }
        constexpr int64_t n_samples = 4;
        const int64_t n_cells = k->ne[1];
        int64_t n_seen = 0;
        for (int64_t row = 0; row + 1 < q->ne[1]; row += q->ne[1] / n_samples) {
            int64_t last = n_cells;
            for (int64_t i = shimmy_next_cell(mask_of(row, 0), 0, n_cells); i < n_cells;
                 i = shimmy_next_cell(mask_of(row, 0), i + 1, n_cells)) {
                last = i;
                ++n_seen;
            }
            if (last < n_cells && shimmy_next_cell(mask_of(row + 1, 0), last, last + 1) == last) {
                return false;
            }
        }
        return TILE_SPEED * n_seen < n_samples * n_cells;
    }

    const ggml_fp16_t * mask_of(int64_t row, int64_t batch) const {
        return mask == nullptr ? nullptr
                               : (const ggml_fp16_t *)((const char *)mask->data + row * mask->nb[1] +
                                                       (batch % mask->ne[3]) * mask->nb[3]);
    }

    // ALiBi's slope, https://arxiv.org/abs/2108.12409.
    float slope(int64_t head) const {
        if (max_bias <= 0.0f) {
            return 1.0f;
        }
        const int64_t n = (int64_t)1 << (int)std::floor(std::log2((double)q->ne[2]));
        return head < n ? std::pow(2.0f, -max_bias / n * (head + 1))
                        : std::pow(2.0f, -max_bias / 2.0f / n * (2 * (head - n) + 1));
    }

    float * output(int64_t head, int64_t row, int64_t batch) const {
        return (float *)((char *)dst->data + (batch * dst->ne[2] * dst->ne[1] + head + row * dst->ne[1]) * dst->nb[1]);
    }
};

// HEADS query heads of a row, all of the same KV head, over the cells [first, last). With `partials` the running
// maximum, the sum of weights and the weighted values of head h go to partials + h * stride, for a later reduction.
template <int HEADS>
static void attend(const Attention & a, int64_t head, int64_t row, int64_t batch, int64_t first, int64_t last,
                   float * partials, int64_t stride) {
    const int64_t kv_head = head / (a.q->ne[2] / a.k->ne[2]);
    const int64_t kv_batch = batch / (a.q->ne[3] / a.k->ne[3]);
    const Rows keys = {(const char *)a.k->data + kv_head * a.k->nb[2] + kv_batch * a.k->nb[3], a.k->nb[1]};
    const Rows values = {(const char *)a.v->data + kv_head * a.v->nb[2] + kv_batch * a.v->nb[3], a.v->nb[1]};
    const ggml_fp16_t * mask = a.mask_of(row, batch);
    const int64_t n_values = a.v->ne[0];

    alignas(64) float sums[HEADS][MAX_VALUES];
    alignas(64) float scores[HEADS][CELLS];
    float bias[CELLS];
    int32_t cells[CELLS];
    const float * queries[HEADS];
    float maximum[HEADS];
    float total[HEADS];
    for (int h = 0; h < HEADS; ++h) {
        queries[h] =
            (const float *)((const char *)a.q->data + row * a.q->nb[1] + (head + h) * a.q->nb[2] + batch * a.q->nb[3]);
        maximum[h] = -INFINITY;
        total[h] = 0.0f;
        std::fill_n(sums[h], n_values, 0.0f);
    }

    for (int64_t next = shimmy_next_cell(mask, first, last); next < last;) {
        int n = 0;
        bool biased = false;
        for (; n < CELLS && next < last; next = shimmy_next_cell(mask, next + 1, last)) {
            bias[n] = mask == nullptr ? 0.0f : GGML_CPU_FP16_TO_FP32(mask[next]);
            biased |= bias[n] != 0.0f;
            cells[n++] = (int32_t)next;
        }
        const int padded = (n + 15) / 16 * 16;
        std::fill(cells + n, cells + padded, cells[n - 1]);

        dot_keys<HEADS>(scores, queries, keys, values, cells, n, a.k->ne[0]);
        for (int h = 0; h < HEADS; ++h) {
            float * s = scores[h];
            ggml_vec_scale_f32(n, s, a.scale);
            if (a.softcap != 0.0f) {
                ggml_vec_tanh_f32(n, s, s);
                ggml_vec_scale_f32(n, s, a.softcap);
            }
            if (biased) {
                ggml_vec_mad_f32(n, s, bias, a.slope(head + h));
            }
            std::fill(s + n, s + padded, -INFINITY);
            const float block_maximum = highest(s, padded);
            if (block_maximum > maximum[h]) {
                const float shrink = std::exp(maximum[h] - block_maximum);
                ggml_vec_scale_f32((int)n_values, sums[h], shrink);
                total[h] *= shrink;
                maximum[h] = block_maximum;
            }
            const float offset = maximum[h] == -INFINITY ? 0.0f : maximum[h];
            total[h] += (float)ggml_vec_soft_max_f32(padded, s, s, offset);
        }

        int64_t d = 0;
        for (; d + 4 * LANES <= n_values; d += 4 * LANES) {
            add_values<HEADS, 4>(sums, scores, values, cells, n, d);
        }
        for (; d < n_values; d += LANES) {
            add_values<HEADS, 1>(sums, scores, values, cells, n, d);
        }
    }

    for (int h = 0; h < HEADS; ++h) {
        if (a.sinks != nullptr && first == 0) {
            const float sink = ((const float *)a.sinks->data)[head + h];
            const float shrink = sink > maximum[h] ? std::exp(maximum[h] - sink) : 1.0f;
            maximum[h] = std::max(maximum[h], sink);
            total[h] = total[h] * shrink + std::exp(sink - maximum[h]);
            ggml_vec_scale_f32((int)n_values, sums[h], shrink);
        }
        if (partials != nullptr) {
            float * partial = partials + h * stride;
            partial[0] = maximum[h];
            partial[1] = total[h];
            std::copy_n(sums[h], n_values, partial + 2);
        } else {
            ggml_vec_scale_f32((int)n_values, sums[h], total[h] == 0.0f ? 0.0f : 1.0f / total[h]);
            std::copy_n(sums[h], n_values, a.output(head + h, row, batch));
        }
    }
}

static void attend(int n_heads, const Attention & a, int64_t head, int64_t row, int64_t batch, int64_t first,
                   int64_t last, float * partials = nullptr, int64_t stride = 0) {
    switch (n_heads) {
#if defined(__AVX512F__)
        case 4:
            return attend<4>(a, head, row, batch, first, last, partials, stride);
        case 3:
            return attend<3>(a, head, row, batch, first, last, partials, stride);
#endif
        case 2:
            return attend<2>(a, head, row, batch, first, last, partials, stride);
        default:
            return attend<1>(a, head, row, batch, first, last, partials, stride);
    }
}

// One row over a long context: each thread takes its share of the cells for all heads.
static void attend_split(const ggml_compute_params * params, const Attention & a, int n_heads) {
    const int64_t n_values = a.v->ne[0];
    const int64_t n_cells = a.k->ne[1];
    const int64_t share = (n_cells + params->nth - 1) / params->nth;
    const int64_t first = std::min(params->ith * share, n_cells);
    float * partials = (float *)params->wdata + params->nth * (a.k->ne[0] + 2 * n_values + CACHE_LINE_SIZE_F32) +
                       params->ith * (2 + n_values);
    const int64_t stride = params->nth * (2 + n_values);
    for (int64_t head = 0; head < a.q->ne[2];) {
        const int64_t group_end = (head / n_heads + 1) * n_heads;
        const int n = (int)std::min<int64_t>(MAX_HEADS, group_end - head);
        attend(n, a, head, 0, 0, first, std::min(first + share, n_cells), partials + head * stride, stride);
        head += n;
    }
    ggml_barrier(params->threadpool);
    ggml_flash_attn_ext_reduce_partials(params, a.dst, params->nth, share);
}

// Computes the node, if it is one of few rows over a cache in half precision.
static bool row_attention(const ggml_compute_params * params, ggml_tensor * node) {
    const Attention a(node);
    if (params->use_ref || !a.suits()) {
        return false;
    }
    const int64_t n_heads = a.q->ne[2];
    const int64_t n_rows = a.q->ne[1];
    const int group = (int)(n_heads / a.k->ne[2]);
    if (n_rows == 1 && a.q->ne[3] == 1 && a.k->ne[1] >= SPLIT_CELLS) {
        attend_split(params, a, group);
        return true;
    }

    // An item is a row with up to MAX_HEADS heads of a group; rows go fastest, since they may share cells.
    const int64_t parts = (group + MAX_HEADS - 1) / MAX_HEADS;
    const int64_t n_items = n_rows * a.k->ne[2] * parts * a.q->ne[3];
    const int64_t chunk =
        ggml_is_numa() ? (n_items + params->nth - 1) / params->nth : std::max<int64_t>(1, n_items / (8 * params->nth));
    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);
    for (int64_t begin = params->ith * chunk; begin < n_items;
         begin = ggml_threadpool_chunk_add(params->threadpool, 1) * chunk) {
        for (int64_t item = begin; item < std::min(begin + chunk, n_items); ++item) {
            const int64_t row = item % n_rows;
            const int64_t part = item / n_rows % parts;
            const int64_t kv_head = item / n_rows / parts % a.k->ne[2];
            const int n = (int)std::min<int64_t>(MAX_HEADS, group - part * MAX_HEADS);
            attend(n, a, kv_head * group + part * MAX_HEADS, row, item / n_rows / parts / a.k->ne[2], 0, a.k->ne[1]);
        }
    }
    return true;
}

}  // namespace shimmy
#else
namespace shimmy {

static inline bool row_attention(const ggml_compute_params *, ggml_tensor *) {
    return false;
}

}  // namespace shimmy
#endif
