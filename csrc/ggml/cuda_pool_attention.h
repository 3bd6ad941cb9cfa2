#pragma once
// Attention of a step's rows that have their cells in one pool, each sequence few of many, for ggml-cuda.

#include <cstddef>

struct ggml_backend_cuda_context;
struct ggml_tensor;

namespace shimmy {

// Compute `dst`, a GGML_OP_FLASH_ATTN_EXT, with the cells that are visible to some row alone. False, and nothing
// computed: ggml-cuda's own kernels, which go through all cells, are to do it.
bool pool_attention(ggml_backend_cuda_context & ctx, ggml_tensor * dst);

// Bytes that it needs to list these cells, which depend on the mask alone; 0 where it computes nothing.
size_t pool_attention_list_size(const ggml_tensor * dst);

}  // namespace shimmy
