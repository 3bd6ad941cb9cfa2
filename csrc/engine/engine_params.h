#pragma once
// What an engine makes of its parameters before it builds anything.

#include "llama/model.h"
#include "params.h"

namespace shimmy {

constexpr uint32_t extra_outputs = 64;  // of a step, beside one per request: drafts, scored prompts
constexpr int32_t fixed_chunk = 256;    // prompt tokens per step of a deterministic engine

// Throws InvalidRequestError naming the field that is out of its range.
EngineParams checked(EngineParams params);

// The context that an engine with `params` needs. Throws InvalidRequestError for a model that cannot generate.
ContextParams for_engine(const Model & model, ContextParams context, const EngineParams & params);

}  // namespace shimmy
