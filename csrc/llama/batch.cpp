#include "llama/batch.h"

#include "errors.h"

namespace shimmy {

int32_t Batch::add(Token token, Pos pos, const std::vector<SeqId> & seq_ids, bool output) {
    if (seq_ids.empty()) {
        throw InvalidRequestError("a token needs at least one sequence id", "seq_ids");
    }
    const int32_t index = add(token, pos, seq_ids.front(), output);
    seq_ids_.insert(seq_ids_.end(), seq_ids.begin() + 1, seq_ids.end());
    n_seq_ids_.back() = static_cast<int32_t>(seq_ids.size());
    return index;
}

int32_t Batch::add(Token token, Pos pos, SeqId seq_id, bool output, const std::optional<Draw> & draw) {
    tokens_.push_back(token);
    positions_.push_back(pos);
    outputs_.push_back(output ? 1 : 0);
    draws_.push_back(draw);
    n_seq_ids_.push_back(1);
    offsets_.push_back(seq_ids_.size());
    seq_ids_.push_back(seq_id);
    n_outputs_ += output ? 1 : 0;
    return n_tokens() - 1;
}

void Batch::clear() {
    tokens_.clear();
    positions_.clear();
    outputs_.clear();
    draws_.clear();
    n_seq_ids_.clear();
    offsets_.clear();
    seq_ids_.clear();
    n_outputs_ = 0;
}

}  // namespace shimmy
