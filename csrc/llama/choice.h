#pragma once
// What a chain of samplers has to choose from: the whole row of logits for as long as no sampler narrows it or needs
// to see every candidate, a list of candidates from then on.

#include <vector>

#include "llama/candidate.h"
#include "llama/logit_row.h"

namespace shimmy {

struct Choice {
    LogitRow row;
    std::vector<Candidate> found;
    bool listed = false;
    llama_token_data_array list{};  // what is left of `found`; its samplers may move the start

    void read(std::span<const float> logits) {
        row.read(logits);
        listed = false;
    }

    // Go on with `found`.
    void narrow(bool sorted) {
        list = {found.data(), found.size(), -1, sorted};
        listed = true;
    }

    // Go on with a list of every token.
    void spread_out() {
        row.all(found);
        narrow(false);
    }

    std::span<Candidate> left() { return {static_cast<Candidate *>(list.data), list.size}; }
};

}  // namespace shimmy
