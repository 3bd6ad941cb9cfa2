#pragma once
// Repetition, frequency and presence penalties, as llama_sampler_init_penalties defines them, but proportional to the
// tokens looked back on instead of to the vocabulary.

#include <cstdint>
#include <span>

#include "llama/logit_row.h"
#include "llama/token_window.h"
#include "params.h"

struct llama_token_data_array;

namespace shimmy {

class Penalties {
  public:
    // `n_ctx` is what repeat_last_n = -1 stands for.
    Penalties(const SamplingParams & params, int32_t n_ctx);

    bool enabled() const { return last_n_ > 0 && (repeat_ != 1.0F || frequency_ != 0.0F || presence_ != 0.0F); }
    void accept(Token token);
    void set_history(std::span<const Token> tokens);
    void apply(LogitRow & row) const;
    void apply(llama_token_data_array & candidates) const;
    void reset();

  private:
    float penalised(float logit, int32_t count) const;

    int32_t last_n_;
    float repeat_;
    float frequency_;
    float presence_;
    TokenWindow recent_;
};

}  // namespace shimmy
