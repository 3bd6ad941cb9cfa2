#pragma once
// A loaded GGUF model. Shared by contexts, tokenizers and adapters, which keep it alive.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "llama/device_memory.h"
#include "params.h"

struct llama_model;
struct llama_vocab;

namespace shimmy {

class WeightLayouts;

// Called with 0.0 to 1.0 while loading, on the loading thread. Returning false stops the load.
using ProgressCallback = std::function<bool(float)>;

class Model {
  public:
    // Load a file, or all shards of a split model when `path` is its first one. Checks the file before libllama sees
    // it. Throws ModelLoadError (also when `progress` stopped it) or InvalidRequestError (parameters); an exception
    // from `progress` is passed on.
    static std::shared_ptr<Model> load(const std::string & path, const ModelParams & params = {},
                                       const ProgressCallback & progress = {});

    // The same without its weights: contexts of it allocate nothing, compute nothing and say what they would take (see
    // Context::memory). Throws as `load`.
    static std::shared_ptr<Model> measured(const std::string & path, const ModelParams & params);

    ~Model();
    Model(const Model &) = delete;
    Model & operator=(const Model &) = delete;

    const std::string & path() const { return path_; }
    const ModelParams & params() const { return params_; }

    std::string architecture() const;
    std::string description() const;  // llama.cpp's words: architecture, size label and quantisation
    std::map<std::string, std::string> metadata() const;  // scalar GGUF values as text; arrays are left out
    std::optional<std::string> metadata_value(const std::string & key) const;
    uint64_t fingerprint() const { return fingerprint_; }  // of the file, see model_fingerprint.h
    std::optional<std::string> chat_template() const;
    std::optional<std::string> rerank_template() const;  // text with {query} and {document}

    uint64_t size_bytes() const;  // of all tensors
    uint64_t n_params() const;
    int32_t n_ctx_train() const;
    int32_t n_embd() const;
    int32_t n_embd_out() const;  // width of embeddings
    int32_t n_cls_out() const;   // width of the classification head, with pooling rank
    int32_t n_layer() const;
    int32_t n_head() const;
    int32_t n_head_kv() const;
    int32_t n_vocab() const;
    int32_t n_swa() const;  // width of the sliding window of attention; 0: none
    bool has_encoder() const;
    bool has_decoder() const;
    bool can_generate() const;                 // decoder-only with a cache: neither an encoder nor a diffusion model
    bool is_causal() const;                    // tokens attend to those before them only
    std::string pooling() const;               // none, mean, cls, last or rank; empty: the file says nothing
    bool is_recurrent() const;                 // recurrent or hybrid: a sequence's state cannot be cut back
    std::vector<std::string> devices() const;  // that layers may be on; empty: the CPU only
    OffloadedLayers offloaded_layers() const;  // those on these devices
    bool uses_gpu() const;                     // layers may be on one
    bool whole_on_gpus() const;                // all of them are
    bool has_experts() const;                  // a mixture of experts
    uint64_t key_length() const;               // of one attention head
    uint64_t kv_bytes_per_cell(const std::string & type_k, const std::string & type_v) const;  // an estimate

    // llama.cpp keeps a list of a model's adapters in it, unguarded: exclusively held by who adds to it or takes from
    // it, shared by who sizes a context's graphs, which reads it.
    std::shared_mutex & adapters_mutex() const { return adapters_mutex_; }

    // Null when the weights are there in one layout only.
    WeightLayouts * layouts() const { return layouts_.get(); }

    llama_model * get() const { return model_; }
    const llama_vocab * vocab() const;

  private:
    enum class Weights { Loaded, Measured };

    static std::shared_ptr<Model> load(const std::string & path, const ModelParams & params,
                                       const ProgressCallback & progress, Weights weights);

    Model(llama_model * model, std::string path, ModelParams params, uint64_t fingerprint);

    uint64_t head_size(const std::string & which) const;

    // A hyperparameter; with vocab_only llama.cpp reads none (and aborts for some), so then from the metadata.
    int32_t number(const char * key, int32_t (*native)(const llama_model *)) const;

    mutable std::shared_mutex adapters_mutex_;
    llama_model * model_;
    std::unique_ptr<WeightLayouts> layouts_;
    std::string path_;
    ModelParams params_;
    uint64_t fingerprint_;
};

}  // namespace shimmy
