#pragma once
// Attention of a step's rows that have their cells in one pool, each sequence few of many, for ggml-cuda.

#include <cstddef>

struct ggml_backend_cuda_context;
struct ggml_tensor;

namespace shimmy {

// Of a GGML_OP_FLASH_ATTN_EXT's op_params: how many sequences the rows are of, if their cells are mostly apart
// (cmake/own_copies.cmake); else 0.
constexpr int seqs_param = 5;

// Compute `dst`, a GGML_OP_FLASH_ATTN_EXT, with the cells that are visible to some row alone. False, and nothing
// computed: ggml-cuda's own kernels, which go through all cells, are to do it.
bool pool_attention(ggml_backend_cuda_context & ctx, ggml_tensor * dst);

// Bytes that it needs to list these cells, which depend on the mask alone; 0 where it computes nothing.
size_t pool_attention_list_size(const ggml_tensor * dst);

}  // namespace shimmy
