#pragma once
// Chooses a token for every output of a decode where the logits were computed, in one operation at the end of
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

// It is one of llama.cpp's backend samplers, one part of it for each sequence. llama.cpp's own ones copy the row of
// logits beside the token (build_sampling in llama-graph.cpp), and compute each row by itself. The operation is
// csrc/ggml/token_choice.h's where the backend has it, for greedy choices and draws, else ggml's arg-max, for greedy
// ones.
class BackendSampler {
  public:
    enum class Where {
        Gpu,       // only on devices where it pays
        Anywhere,  // also on CPUs
    };

    BackendSampler(Where where, int32_t n_vocab, uint32_t n_seq_max);
    ~BackendSampler();
    BackendSampler(const BackendSampler &) = delete;
    BackendSampler & operator=(const BackendSampler &) = delete;

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

    // The last decode has copied no logits for token `i` of its batch, only the token that was chosen.
    bool found(int32_t i) const;
    Token token(int32_t i) const { return tokens_[static_cast<size_t>(i)]; }  // -1: the logits are not finite

  private:
    enum class Needs : int8_t { Nothing, Token, Logits };  // the later includes the earlier
    struct Part;
    struct Graph;
    friend struct PartCalls;

    void ask(ggml_backend_buffer_type * type);
    void build(Part & part, ggml_context * ctx, llama_sampler_data & data);
    void place(Part & part);
    Graph & begin_graph(const void * memory);
    Graph & graph_in_use();

    Where where_;
    int32_t n_vocab_;
    std::vector<std::unique_ptr<Part>> parts_;  // by sequence
    std::vector<llama_sampler *> chains_;
    std::unique_ptr<llama_sampler_seq_config[]> configs_;
    bool attached_ = false;
    bool supported_ = false;
    bool draws_ = false;

    std::vector<std::unique_ptr<Graph>> graphs_;  // that llama.cpp may have, built last first
    bool building_ = false;                       // another one

    int64_t n_placed_ = 0;           // rows of the graph in use, in the micro-batch that comes next
    std::vector<Draw> placed_;       // their draws
    std::vector<int64_t> computed_;  // rows of each micro-batch of the batch that is computed
    std::vector<Token> tokens_;
};

}  // namespace shimmy
