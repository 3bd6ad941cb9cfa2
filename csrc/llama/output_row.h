#pragma once
// What a step computed for one output token.

#include <span>

#include "llama/logits.h"
#include "llama/tokenizer.h"

namespace shimmy {

struct OutputRow {
    std::span<const float> logits;  // [n_vocab]; empty where only a token was asked for
    Token token = -1;               // then; -1: the logits are no finite numbers
};

inline bool is_broken(const OutputRow & row) {
    return row.logits.empty() ? row.token < 0 : is_broken(row.logits);
}

}  // namespace shimmy
