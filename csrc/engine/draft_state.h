#pragma once
// What one sequence knows about drafting: an index of its own text, what has been accepted, and the draft for the next
// step.

#include <vector>

#include "engine/copy_cursor.h"
#include "engine/draft_policy.h"
#include "engine/suffix_index.h"
#include "llama/tokenizer.h"

namespace shimmy {

struct DraftState {
    explicit DraftState(int32_t max_draft) : policy(max_draft) {}

    SuffixIndex index;  // of the sequence's history
    CopyCursor cursor;  // in them
    DraftPolicy policy;
    bool begun = false;         // it was asked for a draft
    Draft draft;                // what the policy chose for the next step
    std::vector<Token> tokens;  // of it
};

}  // namespace shimmy
