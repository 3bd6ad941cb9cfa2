#pragma once
// A request from its admission to its end: its tokens, how far they are computed, its sampler and its text.

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/adapter_sets.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "llama/detokenizer.h"
#include "llama/sampler.h"

namespace shimmy {

class Sequence {
  public:
    using Clock = std::chrono::steady_clock;

    // Builds everything that can throw, on the caller's thread. `n_ctx` bounds prompt and completion together.
    Sequence(RequestId id, Request request, AdapterSets::Interned adapters,
             const std::shared_ptr<const Tokenizer> & tokenizer, int64_t n_ctx);

    RequestId id() const { return id_; }
    AdapterSetId adapter_set_id() const { return adapters_.id; }
    const AdapterSet & adapters() const { return adapters_.set; }
    const std::vector<Token> & tokens() const { return tokens_; }  // prompt and completion
    int32_t n_computed() const { return n_computed_; }             // of tokens(), in the KV cache
    int32_t n_pending() const { return static_cast<int32_t>(tokens_.size()) - n_computed_; }
    bool wants_tokens() const { return request_.max_tokens != 0; }
    bool decoding() const { return n_pending() == 1 && tokens_.size() > n_prompt_; }
    std::span<const Token> pending(int32_t n) const;

    // Progress, told by the engine.
    void admitted(int32_t n_reused);
    void computed(int32_t n) { n_computed_ += n; }
    void lost() { n_computed_ = 0; }  // its cells were given away; everything is pending again

    // Sample from the logits of the last token and take the result in. What it adds is appended to `output`; a
    // finish_reason there means that the request is done. Throws DecodeError.
    void advance(std::span<const float> logits, Output & output);

    // End it from outside: hands out text that was held back.
    void finish(FinishReason reason, Output & output);

  private:
    void take(Token token, std::span<const float> logits, Output & output);

    RequestId id_;
    Request request_;
    AdapterSets::Interned adapters_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    size_t n_ctx_;
    std::vector<Token> tokens_;
    size_t n_prompt_;
    int32_t n_computed_ = 0;
    int64_t n_sampled_ = 0;
    Sampler sampler_;
    Detokenizer detokenizer_;
    StopMatcher stop_;
    Usage usage_;
    Clock::time_point arrived_;
    std::optional<Clock::time_point> started_;
    std::optional<Clock::time_point> first_token_;
};

}  // namespace shimmy
