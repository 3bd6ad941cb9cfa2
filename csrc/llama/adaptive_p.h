#pragma once
// Adaptive-p: chooses tokens near a target probability. As llama_sampler_init_adaptive_p defines it, but its random
// numbers are the caller's; llama_sampler_clone starts them anew and leaves its pending token without probability.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llama/tokenizer.h"

struct llama_token_data_array;

namespace shimmy {

class AdaptiveP {
  public:
    // `target` 0 to 1; `decay` 0 to 0.99: the history that counts is about 1 / (1 - decay) tokens long.
    AdaptiveP(double target, double decay);

    // The index of the next token, by a random number in [0, 1). Replaces the logits of the candidates, of which there
    // must be one above -inf.
    size_t choose(llama_token_data_array & candidates, double random);

    // `token` was taken: when it is the one chosen last, its probability enters the history.
    void accept(Token token);

    // Forget the probabilities of all accepted tokens but those that `tokens` begins with.
    void set_history(std::span<const Token> tokens);
    void reset();

  private:
    struct Accepted {
        Token token;
        double weighted_sum;  // after it
        double total_weight;
    };

    double target_;
    double decay_;
    double weighted_sum_ = 0;  // of the probabilities of accepted tokens, the latest with weight 1
    double total_weight_ = 0;
    std::vector<Accepted> accepted_;
    Token chosen_ = -1;
    double chosen_probability_ = 0;
};

}  // namespace shimmy
