#pragma once
// ContextParams, checked against a model and turned into llama.cpp's.

#include <llama.h>

#include "llama/model.h"

namespace shimmy {

// Throws InvalidRequestError naming the parameter, its value and what is allowed; also for more
// threads than CPUs, and when the KV cache cannot fit into the machine's memory: into what is available of it when
// n_ctx is given.
llama_context_params native_context_params(const Model & model, const ContextParams & params);

// Cells for ContextParams.n_ctx = 0: the training context, halved until the KV cache takes at most half of the memory
// that is free, but not below 4,096 (or the training context when that is shorter).
uint32_t default_n_ctx(const Model & model, const ContextParams & params);

}  // namespace shimmy
