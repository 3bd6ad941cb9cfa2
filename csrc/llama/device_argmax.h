#pragma once
// Finds the likeliest token of every output of a decode where the logits were computed, in one operation at the end of
// llama.cpp's graph. Of sequences that need nothing else, ids are copied to the host instead of rows of logits.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llama/batch.h"

struct ggml_backend_buffer_type;
struct ggml_context;
struct ggml_tensor;
struct llama_context;
struct llama_context_params;
struct llama_sampler;
struct llama_sampler_data;
struct llama_sampler_seq_config;

namespace shimmy {

// It is one of llama.cpp's backend samplers, one part of it for each sequence. llama.cpp's own greedy sampler copies
// the row of logits beside the token (build_sampling in llama-graph.cpp), and computes each row by itself.
class DeviceArgmax {
  public:
    enum class Where {
        Gpu,       // only on devices where it pays
        Anywhere,  // also on CPUs
    };

    DeviceArgmax(Where where, int32_t n_vocab, uint32_t n_seq_max);
    ~DeviceArgmax();
    DeviceArgmax(const DeviceArgmax &) = delete;
    DeviceArgmax & operator=(const DeviceArgmax &) = delete;

    // Whether it is known to pay where a model's layers are on `devices`, by name.
    static bool pays_on(const std::vector<std::string> & devices);

    // Whether a context with so many outputs in a call can have one.
    static bool fits(int32_t n_vocab, uint32_t n_outputs_max) { return n_outputs_max < static_cast<uint32_t>(n_vocab); }

    // Have the context that is made with `params` use this, which must outlive it.
    void attach(llama_context_params & params);

    // llama.cpp has taken it: rows of logits are those of llama_get_sampled_logits_ith.
    bool attached() const { return attached_; }

    // Before llama_decode, and after it when it succeeded.
    void begin(const Batch & batch);
    void end(llama_context * ctx, const Batch & batch);

    // The last decode has copied no logits for token `i` of its batch, only its likeliest token.
    bool found(int32_t i) const;
    Token likeliest(int32_t i) const { return likeliest_[static_cast<size_t>(i)]; }  // -1: the logits are not finite

  private:
    enum class Needs : int8_t { Nothing, Likeliest, Logits };  // the later includes the earlier
    struct Part;
    friend struct PartCalls;

    bool supported_by(ggml_backend_buffer_type * type) const;
    void build(Part & part, ggml_context * ctx, llama_sampler_data & data);
    void place(Part & part);

    Where where_;
    int32_t n_vocab_;
    std::vector<std::unique_ptr<Part>> parts_;  // by sequence
    std::vector<llama_sampler *> chains_;
    std::unique_ptr<llama_sampler_seq_config[]> configs_;
    bool attached_ = false;
    bool supported_ = false;
    int64_t n_rows_ = 0;             // of the graph that was built last
    int64_t n_placed_ = 0;           // of them, in the micro-batch that comes next
    std::vector<int64_t> computed_;  // rows of each micro-batch of the batch that is computed
    std::vector<Token> likeliest_;
};

}  // namespace shimmy
