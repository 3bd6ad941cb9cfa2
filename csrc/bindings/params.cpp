#include "params.h"

#include <optional>

#include "bindings/params_class.h"

namespace shimmy::bindings {

void bind_params(py::module_ & m) {
    ParamsClass<ModelParams>(m, "ModelParams", "How a model is loaded.")
        .field("n_gpu_layers", &ModelParams::n_gpu_layers,
               "Layers to keep on GPUs; -1: as many as fit (LLM and the server find out; `Model` takes all), -2: all.")
        .field("gpu_margin_mib", &ModelParams::gpu_margin_mib, "Memory of each GPU that fitting leaves free.")
        .field("devices", &ModelParams::devices, "Names from devices(); empty: all GPUs; CPU alone: no GPU.")
        .field("rpc_servers", &ModelParams::rpc_servers, "host:port of RPC servers, whose devices are GPUs too.")
        .field("split_mode", &ModelParams::split_mode, "Over several GPUs: none, layer, row, tensor.")
        .field("main_gpu", &ModelParams::main_gpu, "Index into devices, for split_mode none.")
        .field("tensor_split", &ModelParams::tensor_split, "Share of each GPU; empty: by free memory.")
        .field("n_cpu_moe", &ModelParams::n_cpu_moe,
               "Experts of the first N layers stay with the CPU; -1: of all layers.")
        .field("tensor_overrides", &ModelParams::tensor_overrides,
               "PATTERN=BUFFER: weights whose names match the regular expression go to that device, for example CPU.")
        .field("use_mmap", &ModelParams::use_mmap, "Map the file instead of reading it.")
        .field("use_mlock", &ModelParams::use_mlock, "Keep the weights from being swapped out.")
        .field("use_extra_bufts", &ModelParams::use_extra_bufts, "Repack weights for the CPU's matrix instructions.")
        .field("both_layouts", &ModelParams::both_layouts,
               "Map repacked weights too, where that computes prompts faster.")
        .field("check_tensors", &ModelParams::check_tensors, "Validate every tensor's data while loading.")
        .field("vocab_only", &ModelParams::vocab_only, "Tokenizer and metadata only; no context can be made.")
        .done();
    ParamsClass<ContextParams>(m, "ContextParams", "How a context is made.")
        .field("n_ctx", &ContextParams::n_ctx,
               "KV cells; 0: what the model was trained with, as far as memory holds it.")
        .field("n_batch", &ContextParams::n_batch, "Most tokens in one decode call.")
        .field("n_ubatch", &ContextParams::n_ubatch, "Most tokens computed at once.")
        .field("n_seq_max", &ContextParams::n_seq_max, "Most sequences, 1 to 256.")
        .field("n_outputs_max", &ContextParams::n_outputs_max,
               "Most tokens with logits in one decode call; 0: n_batch.")
        .field("n_threads", &ContextParams::n_threads, "Threads for decoding; 0: one per physical core.")
        .field("n_threads_batch", &ContextParams::n_threads_batch, "Threads for prefill; 0: n_threads.")
        .field("kv_unified", &ContextParams::kv_unified,
               "One pool of cells for all sequences (seq_cp shares cells) or one per sequence.")
        .field("embeddings", &ContextParams::embeddings, "Compute embeddings instead of logits only.")
        .field("offload_kqv", &ContextParams::offload_kqv, "Keep the KV cache on the GPU when layers are there.")
        .field("op_offload", &ContextParams::op_offload, "Run large host operations on the GPU.")
        .field("switch_layout", &ContextParams::switch_layout,
               "Use both layouts of a model that has them; False: the repacked one only.")
        .field("swa_full", &ContextParams::swa_full,
               "Full-size cache for sliding-window layers: any prefix can be reused.")
        .field("pooling", &ContextParams::pooling, "Embeddings: none, mean, cls, last, rank; empty: as the model says.")
        .field("attention", &ContextParams::attention, "causal or non-causal; empty: as the model says.")
        .field("flash_attn", &ContextParams::flash_attn, "auto, on or off.")
        .field("type_k", &ContextParams::type_k, "KV cache types: f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl.")
        .field("type_v", &ContextParams::type_v, "As type_k.")
        .field("rope_freq_base", &ContextParams::rope_freq_base, "0: as the model says.")
        .field("rope_freq_scale", &ContextParams::rope_freq_scale, "0: as the model says.")
        .field("poll", &ContextParams::poll,
               "0-100: how long idle threads spin before they sleep, between operations of a step.")
        .done();
    ParamsClass<SamplingParams>(
        m, "SamplingParams",
        "How tokens are chosen. Names are OpenAI's and llama-server's; by default nothing truncates or penalises.")
        .field("temperature", &SamplingParams::temperature, "0: greedy.")
        .field("top_k", &SamplingParams::top_k, "Keep the k likeliest; 0: off.")
        .field("top_p", &SamplingParams::top_p, "Nucleus; 1: off.")
        .field("min_p", &SamplingParams::min_p,
               "Keep tokens with at least min_p times the likeliest's probability; 0: off.")
        .field("typical_p", &SamplingParams::typical_p, "Locally typical sampling; 1: off.")
        .field("top_n_sigma", &SamplingParams::top_n_sigma,
               "Keep logits within n standard deviations of the highest; <= 0: off.")
        .field("min_keep", &SamplingParams::min_keep, "Truncating samplers keep at least this many.")
        .field("repeat_penalty", &SamplingParams::repeat_penalty, "1: off.")
        .field("repeat_last_n", &SamplingParams::repeat_last_n,
               "Tokens that penalties look back on; 0: none, -1: the whole context.")
        .field("frequency_penalty", &SamplingParams::frequency_penalty, "-2 to 2.")
        .field("presence_penalty", &SamplingParams::presence_penalty, "-2 to 2.")
        .field("xtc_probability", &SamplingParams::xtc_probability, "0: off.")
        .field("xtc_threshold", &SamplingParams::xtc_threshold, "> 0.5: off.")
        .field("dynatemp_range", &SamplingParams::dynatemp_range,
               "Temperature varies by this much with the entropy; 0: off.")
        .field("dynatemp_exponent", &SamplingParams::dynatemp_exponent, "How the temperature follows the entropy.")
        .field("dry_multiplier", &SamplingParams::dry_multiplier, "0: off.")
        .field("dry_base", &SamplingParams::dry_base, "Growth of the DRY penalty per repeated token.")
        .field("dry_allowed_length", &SamplingParams::dry_allowed_length, "Repeated tokens that cost nothing.")
        .field("dry_penalty_last_n", &SamplingParams::dry_penalty_last_n, "0: off, -1: the whole context.")
        .field("dry_sequence_breakers", &SamplingParams::dry_sequence_breakers,
               "Strings at which a repetition is taken to end.")
        .field("mirostat", &SamplingParams::mirostat, "0: off, 1 or 2: replaces the truncating samplers.")
        .field("mirostat_tau", &SamplingParams::mirostat_tau, "Target surprise, in bits.")
        .field("mirostat_eta", &SamplingParams::mirostat_eta, "Learning rate.")
        .field("adaptive_target", &SamplingParams::adaptive_target,
               "Adaptive-p: aim at this probability; negative: off.")
        .field("adaptive_decay", &SamplingParams::adaptive_decay, "How slowly adaptive-p forgets, 0 to 0.99.")
        .field("samplers", &SamplingParams::samplers,
               "The order in which samplers run; those that are left out do not run. \"infill\" is known too.")
        .field("logit_bias", &SamplingParams::logit_bias, "Token id -> added to its logit.")
        .field("seed", &SamplingParams::seed, "None: a random one.")
        .done();
    ParamsClass<EngineParams>(m, "EngineParams", "How the engine batches.")
        .field("max_num_seqs", &EngineParams::max_num_seqs,
               "Most requests that hold a sequence at once, up to 256; 0: 16, and 64 where a GPU computes.")
        .field("max_waiting", &EngineParams::max_waiting, "Most requests in the queue; more: QueueFullError.")
        .field("max_waiting_tokens", &EngineParams::max_waiting_tokens,
               "Most prompt tokens in the queue; more: QueueFullError.")
        .field("prefill_budget", &EngineParams::prefill_budget,
               "Most prompt tokens per step while others decode; alone a prompt may fill n_batch.")
        .field("prefill_seconds", &EngineParams::prefill_seconds,
               "As many of them as take about this long, by measured steps; 0: always the most.")
        .field("prefix_cache", &EngineParams::prefix_cache, "Keep finished sequences and reuse their common prefix.")
        .field(
            "cache_ram_mib", &EngineParams::cache_ram_mib,
            "Host memory for prefixes that left the KV cache; 0: none, -1: an eighth of what is free, at most 2,048.")
        .field(
            "deterministic", &EngineParams::deterministic,
            "Greedy answers are equal to the last bit alone, beside others and after a cache hit; costs the speed of "
            "batching.")
        .field("max_draft", &EngineParams::max_draft,
               "Most tokens that speculation proposes at once for a request, 0 to 64; 0: off.")
        .field("adaptive_draft", &EngineParams::adaptive_draft,
               "Draft only as much as pays by the measured cost of steps; False: all that is found.")
        .field("adaptive_threads", &EngineParams::adaptive_threads,
               "Compute with fewer threads for as long as that is faster: other processes are busy.")
        .field("sampling_threads", &EngineParams::sampling_threads,
               "Threads that sample sequences of one step in parallel; 0: one per physical core.")
        .field("backend_sampling", &EngineParams::backend_sampling,
               "Greedy requests get token ids from where the logits are computed: auto (GPUs that gain by it), on or "
               "off.")
        .done();
    ParamsClass<EmbedderParams>(m, "EmbedderParams", "How an embedder batches and pools.")
        .field("max_num_seqs", &EmbedderParams::max_num_seqs, "Most inputs computed together, 1 to 256.")
        .field("max_waiting", &EmbedderParams::max_waiting, "Most inputs in the queue; more: QueueFullError.")
        .field("max_input_tokens", &EmbedderParams::max_input_tokens,
               "Longest input; 0: what the model was trained with, at most 2,048.")
        .field("batch_tokens", &EmbedderParams::batch_tokens,
               "Tokens computed at once; raised to max_input_tokens where inputs must not be cut.")
        .field("pooling", &EmbedderParams::pooling,
               "none, mean, cls, last or rank; empty: the model's own, else last (causal) or mean.")
        .done();
}

}  // namespace shimmy::bindings
