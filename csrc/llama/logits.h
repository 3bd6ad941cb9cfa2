#pragma once
// Reading a row of logits: the likeliest token and log-probabilities.

#include <cstdint>
#include <span>
#include <vector>

#include "llama/tokenizer.h"

namespace shimmy {

// Index of the highest logit, the first of equals; NaN counts as lowest. -1 when no logit is above -inf.
Token argmax(std::span<const float> logits);

// The highest logit is no finite number, or there is none: weights or KV cells are broken.
bool is_broken(std::span<const float> logits);

struct TokenLogprob {
    Token token;
    float logprob;  // natural logarithm, at least -9999
};

struct TokenLogprobs {
    float logprob;                  // of the token asked for
    std::vector<TokenLogprob> top;  // the n likeliest, best first
};

// Log-softmax over the whole row, exact to 1e-5; NaN counts as -inf.
TokenLogprobs logprobs(std::span<const float> logits, Token token, int32_t n_top);

}  // namespace shimmy
