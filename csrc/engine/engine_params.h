#pragma once
// What an engine makes of its parameters before it builds anything.

#include <optional>

#include "llama/backend_sampler.h"
#include "llama/model.h"
#include "params.h"

namespace shimmy {

constexpr uint32_t extra_outputs = 64;  // of a step, beside one per request: drafts, scored prompts
constexpr int32_t fixed_chunk = 256;    // prompt tokens per step of a deterministic engine

// Throws InvalidRequestError naming the field that is out of its range.
EngineParams checked(EngineParams params);

// The context that an engine with `params` needs. Throws InvalidRequestError for a model that cannot generate.
ContextParams for_engine(const Model & model, ContextParams context, const EngineParams & params);

// Where its context is to choose tokens: none for the host.
std::optional<BackendSampler::Where> sampling_place(const Model & model, const ContextParams & context,
                                                    const EngineParams & params);

// Threads to sample a step's sequences on.
int32_t sampling_threads(const EngineParams & params, uint32_t n_seq_max);

// Where one pool of cells is attended to on a CPU: how many cells in use cost a tile of 64 rows as much as one more row
// costs a step without prompts (see StepMix). 0 elsewhere, and for models without attention.
double cells_per_decode(const Model & model, const ContextParams & context);

}  // namespace shimmy
