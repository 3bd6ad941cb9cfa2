#include "llama/context_params.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "errors.h"
#include "in_range.h"
#include "llama/device.h"
#include "llama/ggml_types.h"

namespace shimmy {
namespace {

constexpr uint32_t max_seqs = 256;    // LLAMA_MAX_SEQ
constexpr int32_t max_threads = 512;  // GGML_MAX_N_THREADS
constexpr uint32_t max_batch = 65536;
constexpr uint32_t max_ctx = 1U << 26;

template <typename Value>
using Choices = std::initializer_list<std::pair<std::string_view, Value>>;

template <typename Value>
Value choose(const char * param, const std::string & name, Choices<Value> choices) {
    std::string known;
    for (const auto & [word, value] : choices) {
        if (name == word) {
            return value;
        }
        known += (known.empty() ? "" : ", ") + (word.empty() ? std::string("''") : std::string(word));
    }
    throw InvalidRequestError(std::string(param) + " is '" + name + "', it must be one of " + known, param);
}

// More threads than CPUs spin for each other at every operation: 512 on 2 do not finish one token in a minute.
int32_t n_threads_of(const char * param, int32_t value) {
    in_range(param, value, 0, max_threads);
    if (const int32_t cpus = logical_cpus(); value > cpus) {
        throw InvalidRequestError(std::string(param) + " is " + std::to_string(value) + " and this process can use " +
                                      std::to_string(cpus) + " logical CPUs: ask for at most as many, or for 0",
                                  param);
    }
    return value;
}

std::string mib(uint64_t bytes) {
    return std::to_string(bytes >> 20) + " MiB";
}

void check_memory(const Model & model, const ContextParams & params, uint64_t n_cells) {
    const uint64_t per_cell = model.kv_bytes_per_cell(params.type_k, params.type_v);
    const uint64_t bytes = per_cell > UINT64_MAX / n_cells ? UINT64_MAX : per_cell * n_cells;
    const auto memory = host_memory();
    const bool on_host = !model.uses_gpu() || !params.offload_kqv;
    // What was not asked for is sized by default_n_ctx(), which makes do with little memory.
    const uint64_t most = params.n_ctx > 0 && memory.available > 0 ? memory.available : memory.total;
    if (on_host && most > 0 && bytes > most) {
        throw InvalidRequestError("a KV cache of " + std::to_string(n_cells) + " cells takes " + mib(bytes) +
                                      ", this machine has " + mib(memory.total) + " of memory and " +
                                      mib(memory.available) +
                                      " of them available: lower n_ctx, quantise type_k and type_v or free memory",
                                  "n_ctx");
    }
}

}  // namespace

uint32_t default_n_ctx(const Model & model, const ContextParams & params) {
    const uint32_t trained = static_cast<uint32_t>(std::max(model.n_ctx_train(), 1));
    const uint32_t least = std::min(trained, 4096U);
    const uint64_t per_cell = model.kv_bytes_per_cell(params.type_k, params.type_v);
    const bool on_gpu = model.uses_gpu() && params.offload_kqv;
    const uint64_t budget = (on_gpu ? free_memory_of(model.devices()) : host_memory().available) / 2;
    uint32_t n_ctx = trained;
    while (n_ctx > least && budget > 0 && per_cell * n_ctx > budget) {
        n_ctx = std::max(least, n_ctx / 2);
    }
    return n_ctx;
}

llama_context_params native_context_params(const Model & model, const ContextParams & params) {
    auto native = llama_context_default_params();
    native.n_ctx = params.n_ctx == 0 ? default_n_ctx(model, params) : in_range("n_ctx", params.n_ctx, 1U, max_ctx);
    native.n_batch = in_range("n_batch", params.n_batch, 1U, max_batch);
    native.n_ubatch = std::min(in_range("n_ubatch", params.n_ubatch, 1U, max_batch), native.n_batch);
    native.n_seq_max = in_range("n_seq_max", params.n_seq_max, 1U, std::min(max_seqs, native.n_batch));
    if (native.n_seq_max > native.n_ctx) {
        throw InvalidRequestError("n_seq_max is " + std::to_string(native.n_seq_max) + ", more than the " +
                                      std::to_string(native.n_ctx) + " cells of n_ctx",
                                  "n_seq_max");
    }
    native.n_outputs_max = in_range("n_outputs_max", params.n_outputs_max, 0U, native.n_batch);
    const uint64_t n_streams = params.kv_unified ? 1 : native.n_seq_max;
    const uint64_t n_cells = (native.n_ctx / n_streams + 255) / 256 * 256 * n_streams;  // as llama.cpp rounds up
    if (params.embeddings) {
        // llama.cpp sizes the graph that pools for n_ubatch outputs, which n_seq_max sequences share equally.
        native.n_outputs_max = 0;
        const auto most = static_cast<uint32_t>(std::min<uint64_t>(native.n_ubatch, n_cells));
        native.n_ubatch = std::max(most - most % native.n_seq_max, native.n_seq_max);
    } else if (native.n_outputs_max > 0) {
        native.n_outputs_max = std::max(native.n_outputs_max, native.n_seq_max);  // llama.cpp reserves one per sequence
    }
    native.n_outputs_max_per_seq = native.n_outputs_max;
    const int32_t cores = physical_cores();
    native.n_threads = n_threads_of("n_threads", params.n_threads);
    native.n_threads = native.n_threads == 0 ? cores : native.n_threads;
    native.n_threads_batch = n_threads_of("n_threads_batch", params.n_threads_batch);
    native.n_threads_batch = native.n_threads_batch == 0 ? native.n_threads : native.n_threads_batch;
    in_range("poll", params.poll, 0, 100);

    native.pooling_type = choose<enum llama_pooling_type>("pooling", params.pooling,
                                                          {{"", LLAMA_POOLING_TYPE_UNSPECIFIED},
                                                           {"none", LLAMA_POOLING_TYPE_NONE},
                                                           {"mean", LLAMA_POOLING_TYPE_MEAN},
                                                           {"cls", LLAMA_POOLING_TYPE_CLS},
                                                           {"last", LLAMA_POOLING_TYPE_LAST},
                                                           {"rank", LLAMA_POOLING_TYPE_RANK}});
    native.attention_type = choose<enum llama_attention_type>("attention", params.attention,
                                                              {{"", LLAMA_ATTENTION_TYPE_UNSPECIFIED},
                                                               {"causal", LLAMA_ATTENTION_TYPE_CAUSAL},
                                                               {"non-causal", LLAMA_ATTENTION_TYPE_NON_CAUSAL}});
    native.flash_attn_type = choose<enum llama_flash_attn_type>("flash_attn", params.flash_attn,
                                                                {{"auto", LLAMA_FLASH_ATTN_TYPE_AUTO},
                                                                 {"on", LLAMA_FLASH_ATTN_TYPE_ENABLED},
                                                                 {"off", LLAMA_FLASH_ATTN_TYPE_DISABLED}});
    native.type_k = kv_type("type_k", params.type_k);
    native.type_v = kv_type("type_v", params.type_v);
    if (ggml_is_quantized(native.type_k) && params.flash_attn == "off") {
        throw InvalidRequestError("type_k " + params.type_k + " needs flash attention: set flash_attn to auto or on",
                                  "type_k");
    }
    if (ggml_is_quantized(native.type_v) && params.flash_attn == "off") {
        throw InvalidRequestError("type_v " + params.type_v + " needs flash attention: set flash_attn to auto or on",
                                  "type_v");
    }
    native.rope_freq_base = static_cast<float>(in_range("rope_freq_base", params.rope_freq_base, 0.0, 1e12));
    native.rope_freq_scale = static_cast<float>(in_range("rope_freq_scale", params.rope_freq_scale, 0.0, 1e6));
    native.embeddings = params.embeddings;
    native.offload_kqv = params.offload_kqv;
    native.op_offload = params.op_offload;
    native.swa_full = params.swa_full;
    native.kv_unified = params.kv_unified;
    native.no_perf = true;

    check_memory(model, params, n_cells);
    return native;
}

}  // namespace shimmy
