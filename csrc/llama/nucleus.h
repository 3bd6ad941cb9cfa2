#pragma once
// Top-p on a whole row of logits: the likeliest tokens that together have at least probability p, without sorting the
// vocabulary (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019).

#include <cstddef>
#include <vector>

#include "llama/logit_row.h"

namespace shimmy {

// Replaces `candidates` by the nucleus, in the order of ids: the fewest of the likeliest tokens, of equals those with
// lower ids, whose probabilities reach `p` (0 to 1), and at least `min_keep` and one.
void keep_nucleus(LogitRow & row, double p, size_t min_keep, std::vector<Candidate> & candidates);

}  // namespace shimmy
