#include "engine/engine_params.h"

#include <algorithm>
#include <string>

#include "engine/schedule.h"
#include "errors.h"

namespace shimmy {

constexpr int32_t max_cache_ram_mib = 1 << 24;

EngineParams checked(EngineParams params) {
    const auto range = [](const char * name, uint32_t value, uint32_t low, uint32_t high) {
        if (value < low || value > high) {
            throw InvalidRequestError(std::string(name) + " is " + std::to_string(value) + ", it must be between " +
                                          std::to_string(low) + " and " + std::to_string(high),
                                      name);
        }
    };
    range("max_num_seqs", params.max_num_seqs, 1, 256);
    range("max_waiting", params.max_waiting, 1, 1U << 20);
    range("max_waiting_tokens", params.max_waiting_tokens, 1, 1U << 30);
    range("prefill_budget", params.prefill_budget, static_cast<uint32_t>(min_chunk), 65536);
    if (params.cache_ram_mib < -1 || params.cache_ram_mib > max_cache_ram_mib) {
        throw InvalidRequestError("cache_ram_mib is " + std::to_string(params.cache_ram_mib) +
                                      ", it must be between -1 (automatic) and " + std::to_string(max_cache_ram_mib),
                                  "cache_ram_mib");
    }
    range("max_draft", params.max_draft, 0, extra_outputs);
    range("sampling_threads", params.sampling_threads, 0, 256);
    return params;
}

ContextParams for_engine(const Model & model, ContextParams context, const EngineParams & params) {
    if (!model.has_decoder() || model.has_encoder()) {
        throw InvalidRequestError(model.path() + " is no decoder-only model: the engine cannot generate with it");
    }
    if (params.deterministic) {
        context.kv_unified = false;  // where a cell lies decides in which order attention adds it up
    }
    context.n_seq_max = context.n_ctx > 0 ? std::min(params.max_num_seqs, context.n_ctx) : params.max_num_seqs;
    context.n_batch = std::max(context.n_batch, context.n_seq_max);
    context.n_outputs_max = std::min(context.n_seq_max + extra_outputs, context.n_batch);
    return context;
}

}  // namespace shimmy
