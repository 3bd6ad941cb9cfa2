#pragma once
// For our copies of ggml-cuda's files (cmake/own_copies.cmake): what several nodes of a graph need, and what ggml-cuda
// computes for each of them anew. Q, K and V are products with the same rows, as are gate and up: these are quantised
// once. All layers have the same mask: its visible cells are listed once (cuda_pool_attention.cu).

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>
#include <vector>

#include "common.cuh"
#include "ggml-impl.h"
#include "ggml/cuda_pool_attention.h"

namespace shimmy {

// One evaluation, or capture, of a graph; a thread has one at a time. Its memory comes from the pool of the context,
// for as long, so that each capture of a graph finds its own.
class CudaGraphScope {
  public:
    CudaGraphScope(ggml_backend_cuda_context & ctx, const ggml_cgraph & graph, bool evaluates)
        : ctx_(ctx), rows_(ctx.pool()), lists_(ctx.pool()) {
        if (evaluates) {
            look_at(graph);
            allocate(rows_, row_slots_);
            allocate(lists_, list_slots_);
        }
        current_ = this;
    }

    ~CudaGraphScope() { current_ = nullptr; }
    CudaGraphScope(const CudaGraphScope &) = delete;
    CudaGraphScope & operator=(const CudaGraphScope &) = delete;

    struct Found {
        void * memory = nullptr;  // nullptr: there is none to share
        bool known = false;       // what was asked for is in it; else the caller is to compute it
    };

    // `layout` says how `source`'s rows are quantised. Not of tensors that are no node's, as ggml-cuda makes some.
    static Found rows(ggml_backend_cuda_context & ctx, const ggml_tensor * source, int layout, size_t size) {
        if (!current_ || !std::binary_search(current_->shared_.begin(), current_->shared_.end(), source)) {
            return {};
        }
        return current_->find(ctx, current_->row_slots_, source, layout, size);
    }

    // Of `rows` rows of a mask each.
    static Found lists(ggml_backend_cuda_context & ctx, const ggml_tensor * mask, int rows, size_t size) {
        return current_ ? current_->find(ctx, current_->list_slots_, mask, rows, size) : Found{};
    }

  private:
    struct Slot {
        const ggml_tensor * source = nullptr;
        int layout = 0;
        size_t size = 0;
        uint64_t used = 0;
    };
    // Two: K-quants want two layouts of the same rows, models with windows have two masks.
    struct Slots {
        std::array<Slot, 2> slots;
        size_t size = 0;  // of one
        char * memory = nullptr;
    };

    void look_at(const ggml_cgraph & graph) {
        std::vector<const ggml_tensor *> taken;  // by products
        for (int i = 0; i < graph.n_nodes; ++i) {
            const ggml_tensor * node = graph.nodes[i];
            if (node->view_src && !ggml_op_is_empty(node->op)) {
                written_.push_back(node->view_src);
            }
            const bool product = node->op == GGML_OP_MUL_MAT || node->op == GGML_OP_MUL_MAT_ID;
            if (product && ggml_is_quantized(node->src[0]->type)) {
                taken.push_back(node->src[1]);
            }
            if (node->op == GGML_OP_FLASH_ATTN_EXT) {
                list_slots_.size = std::max(list_slots_.size, pool_attention_list_size(node));
            }
        }
        std::sort(taken.begin(), taken.end());
        for (size_t i = 1; i < taken.size(); ++i) {
            if (taken[i] == taken[i - 1] && (shared_.empty() || shared_.back() != taken[i])) {
                shared_.push_back(taken[i]);
                row_slots_.size = std::max(row_slots_.size, size_of_rows(taken[i]));
            }
        }
    }

    // Rows that no quantisation writes are behind the last ones: products read whole tiles.
    static size_t size_of_rows(const ggml_tensor * rows) {
        const size_t n = static_cast<size_t>(ggml_nrows(rows) * GGML_PAD(rows->ne[0], MATRIX_ROW_PADDING));
        return (n / QK8_1 + 4 * 256) * sizeof(block_q8_1);  // of these a block_q8_1_mmq is four
    }

    // Where there is no memory nothing is shared.
    static void allocate(ggml_cuda_pool_alloc<char> & memory, Slots & slots) {
        slots.size = GGML_PAD(slots.size, 256);
        try {
            slots.memory = slots.size > 0 ? memory.alloc(slots.size * slots.slots.size()) : nullptr;
        } catch (const std::bad_alloc &) {  // cuda_memory.h
            static_cast<void>(cudaGetLastError());
            slots.size = 0;
        }
    }

    Found find(ggml_backend_cuda_context & ctx, Slots & slots, const ggml_tensor * source, int layout, size_t size) {
        const auto * root = source->view_src ? source->view_src : source;
        if (&ctx != &ctx_ || ctx.curr_stream_no != 0 || !ctx.stream_context().concurrent_events.empty() ||
            size > slots.size || std::find(written_.begin(), written_.end(), root) != written_.end()) {
            return {};
        }
        const auto has = [&](const Slot & slot) {
            return slot.source == source && slot.layout == layout && slot.size == size;
        };
        auto slot = std::find_if(slots.slots.begin(), slots.slots.end(), has);
        const bool known = slot != slots.slots.end();
        if (!known) {
            slot = std::min_element(slots.slots.begin(), slots.slots.end(),
                                    [](const Slot & a, const Slot & b) { return a.used < b.used; });
        }
        *slot = {source, layout, size, ++clock_};
        return {slots.memory + slots.size * static_cast<size_t>(slot - slots.slots.begin()), known};
    }

    inline static thread_local CudaGraphScope * current_ = nullptr;

    ggml_backend_cuda_context & ctx_;
    ggml_cuda_pool_alloc<char> rows_;
    ggml_cuda_pool_alloc<char> lists_;
    Slots row_slots_;
    Slots list_slots_;
    std::vector<const ggml_tensor *> shared_;   // by several products, sorted
    std::vector<const ggml_tensor *> written_;  // by nodes that compute into a part of them
    uint64_t clock_ = 0;
};

// Stands where ggml-cuda has memory for a product's quantised rows.
class QuantisedRows {
  public:
    static constexpr int vector_layout = -1;  // for few rows; else MMQ_Q8_1_DS_LAYOUT_*
    static constexpr int unshared = -2;

    QuantisedRows(ggml_backend_cuda_context & ctx, const ggml_tensor * source, int layout, size_t size)
        : own_(ctx.pool()) {
        CudaGraphScope::Found found;
        if (layout != unshared) {
            found = CudaGraphScope::rows(ctx, source, layout, size);
        }
        known = found.known;
        ptr = found.memory ? static_cast<char *>(found.memory) : own_.alloc(size);
    }

    char * get() const { return ptr; }

    char * ptr;
    bool known;

  private:
    ggml_cuda_pool_alloc<char> own_;
};

}  // namespace shimmy
