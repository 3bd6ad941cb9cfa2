#pragma once
// One token that can still be chosen, in the layout of llama.cpp's samplers.

#include <llama.h>

namespace shimmy {

struct Candidate : llama_token_data {};
static_assert(sizeof(Candidate) == sizeof(llama_token_data));

// The order of a sorted list: likeliest first, of equals the lower id.
inline bool likelier(const Candidate & a, const Candidate & b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

}  // namespace shimmy
