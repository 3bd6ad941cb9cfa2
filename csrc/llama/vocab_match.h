#pragma once
// Whether the tokens of two models mean the same, so that one can draft for the other.

#include "llama/model.h"

namespace shimmy {

// Throws InvalidRequestError naming the first difference that matters: the kind of vocabulary, whether and which
// BOS/EOS are added, a size that differs by more than 128, or the text of a token that both have (from id 5 on). As
// common_speculative_are_compatible of llama.cpp's common/speculative.cpp judges.
void check_vocab_match(const Model & target, const Model & draft);

}  // namespace shimmy
