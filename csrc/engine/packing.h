#pragma once
// Policy: which waiting inputs of an embedder are computed together. Pure functions.

#include <cstddef>
#include <span>
#include <vector>

namespace shimmy {

struct PackLimits {
    size_t n_tokens;  // of all inputs of a batch
    size_t n_seqs;    // inputs of a batch
};

// Indices into `lengths` (tokens per input, in order of arrival) for the next batch: the oldest input, so that none
// waits for ever, then the longest ones that still fit. An oldest input of more than n_tokens goes alone.
std::vector<size_t> pack_batch(std::span<const size_t> lengths, PackLimits limits);

}  // namespace shimmy
