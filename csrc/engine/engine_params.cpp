#include "engine/engine_params.h"

#include <algorithm>
#include <string>

#include "engine/schedule.h"
#include "errors.h"
#include "in_range.h"
#include "llama/device.h"

namespace shimmy {

constexpr int32_t max_cache_ram_mib = 1 << 24;
constexpr uint32_t cpu_seqs = 16;
constexpr uint32_t gpu_seqs = 64;
constexpr uint64_t most_output_bytes = 1 << 30;

EngineParams checked(EngineParams params) {
    in_range("max_num_seqs", params.max_num_seqs, 0U, 256U);  // 0: automatic
    in_range("max_waiting", params.max_waiting, 1U, 1U << 20);
    in_range("max_waiting_tokens", params.max_waiting_tokens, 1U, 1U << 30);
    in_range("prefill_budget", params.prefill_budget, static_cast<uint32_t>(min_chunk), 65536U);
    in_range("prefill_seconds", params.prefill_seconds, 0.0, 3600.0);
    in_range("cache_ram_mib", params.cache_ram_mib, -1, max_cache_ram_mib);  // -1: automatic
    in_range("max_draft", params.max_draft, 0U, extra_outputs);
    in_range("sampling_threads", params.sampling_threads, 0U, 256U);
    if (params.backend_sampling != "auto" && params.backend_sampling != "on" && params.backend_sampling != "off") {
        throw InvalidRequestError(
            "backend_sampling is '" + params.backend_sampling + "', it must be one of auto, on, off",
            "backend_sampling");
    }
    return params;
}

ContextParams for_engine(const Model & model, ContextParams context, const EngineParams & params) {
    if (!model.has_decoder() || model.has_encoder()) {
        throw InvalidRequestError(model.path() + " is no decoder-only model: the engine cannot generate with it");
    }
    if (params.deterministic) {
        context.kv_unified = false;     // where a cell lies decides in which order attention adds it up
        context.switch_layout = false;  // what another context computes at that time would decide
    }
    // Cells of its own, or a recurrent state, are memory that every sequence takes whether it runs or not.
    const bool shared = context.kv_unified && !model.is_recurrent();
    const uint32_t automatic = model.uses_gpu() && shared ? gpu_seqs : cpu_seqs;
    const uint32_t most = params.max_num_seqs > 0 ? params.max_num_seqs : automatic;
    context.n_seq_max = context.n_ctx > 0 ? std::min(most, context.n_ctx) : most;
    context.n_batch = std::max(context.n_batch, context.n_seq_max);
    context.n_outputs_max = std::min(context.n_seq_max + extra_outputs, context.n_batch);
    // What an embedder may have been asked for with the same parameters.
    context.embeddings = false;
    context.pooling.clear();
    context.attention.clear();
    return context;
}

std::optional<BackendSampler::Where> sampling_place(const Model & model, const ContextParams & context,
                                                    const EngineParams & params) {
    if (params.backend_sampling == "off") {
        return std::nullopt;
    }
    if (params.backend_sampling == "on") {
        return BackendSampler::Where::Anywhere;
    }
    // llama.cpp makes room on the host for four numbers per logit then.
    const uint64_t bytes = 4 * sizeof(float) * static_cast<uint64_t>(model.n_vocab()) * context.n_outputs_max;
    const bool on_gpu = BackendSampler::pays_on(model.devices()) && model.offloaded_layers().total > model.n_layer();
    const bool gains = on_gpu && !model.is_recurrent() && bytes <= most_output_bytes;
    return gains ? std::optional(BackendSampler::Where::Gpu) : std::nullopt;
}

int32_t sampling_threads(const EngineParams & params, uint32_t n_seq_max) {
    const auto wanted = params.sampling_threads > 0 ? static_cast<int32_t>(params.sampling_threads) : physical_cores();
    return std::min(wanted, static_cast<int32_t>(n_seq_max));
}

// The row's products with the weights against the tile's with a cell, each a multiply and an add, twice for keys and
// values. Tiles compute in float at about twice the speed of the products of few quantised rows (AVX-512 VNNI).
double cells_per_decode(const Model & model, const ContextParams & context) {
    const auto attention =
        static_cast<double>(model.n_layer()) * model.n_head() * static_cast<double>(model.key_length());
    if (model.uses_gpu() || !context.kv_unified || context.flash_attn == "off" || attention <= 0) {
        return 0;
    }
    constexpr double rows = 2 * efficient_chunk;
    constexpr double tile_speed = 2;
    return tile_speed * static_cast<double>(model.n_params()) / (rows * attention);
}

}  // namespace shimmy
