#pragma once
// Policy: which tokens go into the next step. Pure functions of small values.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace shimmy {

using AdapterSetId = uint32_t;

// A running request as the scheduler sees it.
struct RunningView {
    int32_t n_pending;            // tokens that are not computed yet; when decoding, those since the one sampled last
    bool decoding;                // its prompt is done
    AdapterSetId adapters;        // applies to a whole step
    uint64_t last_step;           // the step that served it last, 0: none
    int32_t n_draft = 0;          // proposed tokens after the pending ones, each with an output; decoding only
    bool scores = false;          // every pending token wants an output (log-probabilities of a prompt)
    int32_t n_before_switch = 0;  // tokens until its adapters change; 0: they do not
    int32_t n_done = 0;           // tokens computed, for chunks at fixed places
    int32_t n_chunked = 1 << 30;  // that those chunks have; the others were chosen, and are computed one by one
};

enum class Serve { Both, Decodes, Prompts };  // see StepMix

struct StepBudget {
    int32_t n_batch;              // most tokens in the step
    int32_t prefill_budget;       // most prompt tokens while any request decodes; whole chunks with these
    int32_t n_outputs = 1 << 30;  // most tokens with an output
    int32_t fixed_chunk = 0;      // over 0: one request per step, its prompt in chunks that end at multiples of this
    int32_t least_chunk = 32;     // see plan_step
    Serve serve = Serve::Both;
    std::optional<AdapterSetId> adapters{};  // of the step; none: of the request served longest ago
};

struct Share {
    size_t index;      // into the views
    int32_t n_tokens;  // pending tokens, then n_draft proposed ones
    bool output;       // it takes all that was pending, so the next token can be sampled
    int32_t n_draft = 0;
    int32_t n_outputs = 0;  // of its last tokens
};

struct StepPlan {
    AdapterSetId adapters = 0;
    std::vector<Share> shares;  // decodes first
};

// One adapter set per step. Its decodes all go first; prompts share what is left, the shortest first and each at most
// an equal part, so that a short prompt never waits for a long one. Prompts that would get fewer than `least_chunk`
// tokens take turns. Drafts give way when outputs or tokens are short.
StepPlan plan_step(std::span<const RunningView> running, const StepBudget & budget);

constexpr int32_t min_chunk = 32;  // of what may be asked for

// A GPU computes more prompts in full at once and the others later in no more time than all of them by pieces, of which
// none is done before the last. With cells of their own pieces of unequal length are computed apart besides.
constexpr int32_t gpu_chunk = 128;

// ggml's flash attention computes 64 rows at a time on a CPU, and fewer one by one at less than half the speed
// (GGML_FA_TILE_Q).
constexpr int32_t efficient_chunk = 64;

// That of the request served longest ago. `running` must not be empty.
AdapterSetId next_adapters(std::span<const RunningView> running);

}  // namespace shimmy
