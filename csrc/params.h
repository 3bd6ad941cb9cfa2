#pragma once
// Every option of the runtime, declared once: its name, its default and what it means. Bindings expose these fields as
// keyword arguments, and the Python layer and the command line pass on only what was set.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace shimmy {

struct ModelParams {
    int32_t n_gpu_layers = -1;  // layers to keep on GPUs; -1: as many as fit (see fit_engine; where nobody fits, all),
                                // -2: all
    int32_t gpu_margin_mib = 1024;              // memory of each GPU that fitting leaves free
    std::vector<std::string> devices;           // names from devices(); empty: all GPUs; CPU alone: no GPU
    std::vector<std::string> rpc_servers;       // host:port of RPC servers, whose devices are GPUs too
    std::string split_mode = "layer";           // over several GPUs: none, layer, row, tensor
    int32_t main_gpu = 0;                       // index into devices, for split_mode none
    std::vector<double> tensor_split;           // share of each GPU; empty: by free memory
    int32_t n_cpu_moe = 0;                      // experts of the first N layers stay with the CPU; -1: of all layers
    std::vector<std::string> tensor_overrides;  // PATTERN=BUFFER: weights whose names match go to that device
    bool use_mmap = true;                       // map the file instead of reading it, unless that is slower
    bool use_mlock = false;                     // keep the weights from being swapped out
    bool use_extra_bufts = true;                // repack weights for the CPU's matrix instructions
    bool both_layouts = true;                   // map repacked weights too, where that computes prompts faster
    bool check_tensors = false;                 // validate every tensor's data while loading
    bool vocab_only = false;                    // tokenizer and metadata only; no context can be made
};

struct ContextParams {
    uint32_t n_ctx = 0;               // KV cells; 0: what the model was trained with, as far as memory holds it
    uint32_t n_batch = 2048;          // most tokens in one decode call
    uint32_t n_ubatch = 512;          // most tokens computed at once
    uint32_t n_seq_max = 1;           // most sequences, 1 to 256
    uint32_t n_outputs_max = 0;       // most tokens with logits in one decode call; 0: n_batch
    int32_t n_threads = 0;            // threads for decoding, at most the logical CPUs; 0: one per physical core
    int32_t n_threads_batch = 0;      // threads for prefill; 0: n_threads
    bool kv_unified = true;           // one pool of cells for all sequences (seq_cp shares cells) or one per sequence
    bool embeddings = false;          // compute embeddings instead of logits only
    bool offload_kqv = true;          // keep the KV cache on the GPU when layers are there
    bool op_offload = true;           // run large host operations on the GPU
    bool switch_layout = true;        // use both layouts of a model that has them; false: the repacked one only
    bool swa_full = false;            // full-size cache for sliding-window layers: any prefix can be reused
    std::string pooling = "";         // embeddings: none, mean, cls, last, rank; empty: as the model says
    std::string attention = "";       // causal, non-causal; empty: as the model says
    std::string flash_attn = "auto";  // auto, on, off
    std::string type_k = "f16";       // KV cache types: f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl
    std::string type_v = "f16";
    double rope_freq_base = 0;   // 0: as the model says
    double rope_freq_scale = 0;  // 0: as the model says
    int32_t poll = 10;           // 0-100: how long idle threads spin before they sleep, between operations of a step
};

// Sampling, with the field names of OpenAI's API and llama-server's JSON. Defaults are OpenAI's: everything that
// truncates or penalises is off.
struct SamplingParams {
    double temperature = 1.0;        // 0: greedy
    int32_t top_k = 0;               // keep the k likeliest; 0: off
    double top_p = 1.0;              // nucleus; 1: off
    double min_p = 0.0;              // keep tokens with at least min_p times the likeliest's probability; 0: off
    double typical_p = 1.0;          // locally typical sampling; 1: off
    double top_n_sigma = -1.0;       // keep logits within n standard deviations of the highest; <= 0: off
    int32_t min_keep = 1;            // truncating samplers keep at least this many
    double repeat_penalty = 1.0;     // 1: off
    int32_t repeat_last_n = 64;      // tokens that penalties look back on; 0: none, -1: the whole context
    double frequency_penalty = 0.0;  // -2 to 2
    double presence_penalty = 0.0;   // -2 to 2
    double xtc_probability = 0.0;    // 0: off
    double xtc_threshold = 0.1;      // > 0.5: off
    double dynatemp_range = 0.0;     // temperature varies by this much with the entropy; 0: off
    double dynatemp_exponent = 1.0;
    double dry_multiplier = 0.0;  // 0: off
    double dry_base = 1.75;
    int32_t dry_allowed_length = 2;
    int32_t dry_penalty_last_n = -1;  // 0: off, -1: the whole context
    std::vector<std::string> dry_sequence_breakers = {"\n", ":", "\"", "*"};
    int32_t mirostat = 0;  // 0: off, 1 or 2: replaces the truncating samplers
    double mirostat_tau = 5.0;
    double mirostat_eta = 0.1;
    double adaptive_target = -1.0;  // adaptive-p: aim at this probability; negative: off
    double adaptive_decay = 0.9;
    // The order in which samplers run; those that are left out do not run. "infill" is known too.
    std::vector<std::string> samplers = {"penalties", "dry",   "top_n_sigma", "top_k",      "typical_p",
                                         "top_p",     "min_p", "xtc",         "temperature"};
    std::map<int32_t, double> logit_bias;  // token id -> added to its logit
    std::optional<uint32_t> seed;          // none: a random one
};

struct EngineParams {
    uint32_t max_num_seqs = 0;              // most requests that hold a sequence at once, up to 256; 0: 16, and 64
                                            // where a GPU computes, which takes rows nearly for nothing
    uint32_t max_waiting = 512;             // most requests in the queue; more: QueueFullError
    uint32_t max_waiting_tokens = 1 << 24;  // most prompt tokens in the queue; more: QueueFullError
    uint32_t prefill_budget = 512;  // most prompt tokens per step while others decode; alone a prompt may fill n_batch
    double prefill_seconds = 0.5;   // as many of them as take about this long, by measured steps; 0: always the most
    bool prefix_cache = true;       // keep finished sequences and reuse their common prefix
    int32_t cache_ram_mib = -1;     // host memory for prefixes that left the KV cache; 0: none, -1: an eighth of
                                    // what is free, at most 2,048
    // Greedy answers are equal to the last bit alone, beside others and after a cache hit: every sequence is computed
    // by itself, in chunks of fixed size. Takes kv_unified off; costs the speed of batching.
    bool deterministic = false;
    uint32_t max_draft = 16;        // most tokens that speculation proposes at once for a request, 0 to 64; 0: off
    bool adaptive_draft = true;     // draft only what pays by the measured cost of steps; false: all that is found
    bool adaptive_threads = true;   // compute with fewer threads for as long as that is faster: others are busy
    uint32_t sampling_threads = 0;  // threads that sample sequences of one step in parallel; 0: one per physical core
    // Greedy requests get their tokens from where the logits are computed: on (also on CPUs), off, auto (where that is
    // a GPU known to gain by it). Ids are copied to the host instead of logits.
    std::string backend_sampling = "auto";
};

struct EmbedderParams {
    uint32_t max_num_seqs = 32;     // most inputs computed together, 1 to 256
    uint32_t max_waiting = 16384;   // most inputs in the queue; more: QueueFullError
    uint32_t max_input_tokens = 0;  // longest input; 0: what the model was trained with, at most 2,048
    uint32_t batch_tokens = 512;    // tokens computed at once; raised to max_input_tokens where inputs must not be cut
    std::string pooling = "";       // none, mean, cls, last, rank; empty: the model's, else last (causal) or mean
};

}  // namespace shimmy
