#pragma once
// How a token is chosen where the whole row of logits takes part and nothing else.

namespace shimmy {

// The first token at which the sum of e^(logit * scale), in the order of ids, reaches a share of the whole.
struct Draw {
    float scale = 0;  // one over the temperature; 0: the likeliest token
    float share = 0;  // 0 to 1
};

}  // namespace shimmy
