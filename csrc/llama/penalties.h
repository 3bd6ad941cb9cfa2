#pragma once
// Repetition, frequency and presence penalties, as llama_sampler_init_penalties defines them, but proportional to the
// tokens looked back on instead of to the vocabulary.

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "llama/tokenizer.h"
#include "params.h"

struct llama_token_data_array;

namespace shimmy {

class Penalties {
  public:
    // `n_ctx` is what repeat_last_n = -1 stands for.
    Penalties(const SamplingParams & params, int32_t n_ctx);

    bool enabled() const { return last_n_ > 0 && (repeat_ != 1.0F || frequency_ != 0.0F || presence_ != 0.0F); }
    void accept(Token token);
    void apply(llama_token_data_array & candidates) const;
    void reset();

  private:
    int32_t last_n_;
    float repeat_;
    float frequency_;
    float presence_;
    std::deque<Token> recent_;
    std::unordered_map<Token, int32_t> counts_;
};

}  // namespace shimmy
