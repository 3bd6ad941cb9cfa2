#pragma once
// Policy: which tokens go into the next step. Pure functions of small values.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace shimmy {

using AdapterSetId = uint32_t;

// A running request as the scheduler sees it.
struct RunningView {
    int32_t n_pending;      // tokens that are not computed yet; 1 and `decoding`: the token sampled last
    bool decoding;          // its prompt is done
    AdapterSetId adapters;  // applies to a whole step
    uint64_t last_step;     // the step that served it last, 0: none
};

struct StepBudget {
    int32_t n_batch;         // most tokens in the step
    int32_t prefill_budget;  // most prompt tokens while any request decodes
};

struct Share {
    size_t index;  // into the views
    int32_t n_tokens;
    bool output;  // it takes all that was pending, so the next token can be sampled
};

struct StepPlan {
    AdapterSetId adapters = 0;
    std::vector<Share> shares;  // decodes first
};

// One adapter set per step: the one that holds the request served longest ago. Its decodes all go first; prompts share
// what is left, the shortest first and each at most an equal part, so that a short prompt never waits for a long one.
// Prompts that would get fewer than `min_chunk` tokens take turns.
StepPlan plan_step(std::span<const RunningView> running, const StepBudget & budget);

constexpr int32_t min_chunk = 32;

}  // namespace shimmy
