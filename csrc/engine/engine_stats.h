#pragma once

#include <cstdint>

namespace shimmy {

// Since the engine's start unless said otherwise.
struct EngineStats {
    uint64_t running = 0;        // now
    uint64_t waiting = 0;        // now
    uint64_t kv_cells_used = 0;  // now, by running requests and kept prefixes
    uint64_t kv_cells_total = 0;
    uint64_t steps = 0;
    uint64_t preemptions = 0;
    uint64_t forks = 0;  // requests that began on another sequence's cells
    uint64_t requests_finished = 0;
    uint64_t prompt_tokens = 0;    // of finished requests
    uint64_t cached_tokens = 0;    // of finished requests
    uint64_t computed_tokens = 0;  // that went through the model: prompts, completions and drafts
    uint64_t completion_tokens = 0;
    uint64_t backend_rows = 0;     // outputs whose token was found where the logits were computed
    uint64_t drafted_tokens = 0;   // of finished requests
    uint64_t accepted_tokens = 0;  // of finished requests
    double tokens_per_second = 0;  // of completions, lately: over about two seconds of steps that made some
    double step_seconds = 0;       // spent in steps
    double decode_seconds = 0;     // of that, inside llama_decode
};

}  // namespace shimmy
