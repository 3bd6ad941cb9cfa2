#pragma once
// Tokens for one decode or encode call.

#include <cstdint>
#include <optional>
#include <vector>

#include "llama/draw.h"
#include "llama/tokenizer.h"

namespace shimmy {

using Pos = int32_t;
using SeqId = int32_t;

class Batch {
  public:
    // Append a token at position `pos` of the sequences `seq_ids`; `output`: compute its logits or embedding.
    // Returns its index. Ids and positions are checked against the context by Context::decode.
    // Throws InvalidRequestError for an empty `seq_ids`.
    int32_t add(Token token, Pos pos, const std::vector<SeqId> & seq_ids, bool output);

    // The same for one sequence, without a vector: what the engine calls. `draw`: of the output nothing but this
    // token is wanted.
    int32_t add(Token token, Pos pos, SeqId seq_id, bool output, const std::optional<Draw> & draw = {});

    void clear();

    int32_t n_tokens() const { return static_cast<int32_t>(tokens_.size()); }
    int32_t n_outputs() const { return n_outputs_; }
    const std::vector<Token> & tokens() const { return tokens_; }
    const std::vector<Pos> & positions() const { return positions_; }
    const std::vector<int8_t> & outputs() const { return outputs_; }

    const std::optional<Draw> & draw(int32_t i) const { return draws_[static_cast<size_t>(i)]; }

    // Sequences of token i: `n_seq_id(i)` ids starting at `seq_ids(i)`.
    int32_t n_seq_id(int32_t i) const { return n_seq_ids_[static_cast<size_t>(i)]; }
    const SeqId * seq_ids(int32_t i) const { return seq_ids_.data() + offsets_[static_cast<size_t>(i)]; }

  private:
    std::vector<Token> tokens_;
    std::vector<Pos> positions_;
    std::vector<int8_t> outputs_;
    std::vector<std::optional<Draw>> draws_;
    std::vector<int32_t> n_seq_ids_;
    std::vector<size_t> offsets_;  // into seq_ids_
    std::vector<SeqId> seq_ids_;
    int32_t n_outputs_ = 0;
};

}  // namespace shimmy
