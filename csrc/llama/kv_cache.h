#pragma once
// The sequences in a context's memory. A view: it lives as long as its context.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "llama/batch.h"

struct llama_context;
struct llama_model;

namespace shimmy {

// All positions are [p0, p1); p0 < 0 means 0 and p1 < 0 means the end. Ids outside of [0, n_seq_max) and ranges that
// llama.cpp asserts on throw InvalidRequestError, as does every call on a model without a cache (encoders).
class KvCache {
  public:
    KvCache() = default;
    KvCache(llama_context * ctx, const llama_model * model) : ctx_(ctx), model_(model) {}

    void clear();

    // Remove positions of one sequence (-1: of all). False when the model cannot cut a part out (recurrent, hybrid,
    // sliding window); nothing is changed then. Removing a whole sequence always works.
    bool seq_rm(SeqId seq_id, Pos p0 = -1, Pos p1 = -1);

    // Let `dst` share the cells of `src`. With one cache per sequence (kv_unified off) only whole sequences can be
    // copied, and `dst` is overwritten.
    void seq_cp(SeqId src, SeqId dst, Pos p0 = -1, Pos p1 = -1);

    void seq_keep(SeqId seq_id);                            // remove every other sequence
    void seq_add(SeqId seq_id, Pos p0, Pos p1, Pos delta);  // shift positions; needs can_shift()
    void seq_div(SeqId seq_id, Pos p0, Pos p1, int32_t d);  // divide positions by d > 1; needs can_shift()
    Pos seq_pos_min(SeqId seq_id) const;                    // -1: empty
    Pos seq_pos_max(SeqId seq_id) const;                    // -1: empty
    bool can_shift() const;

    // One sequence with the tokens that it holds, framed with a checksum and the model's fingerprint. restore replaces
    // `dst` and returns the tokens; it throws InvalidRequestError for bytes that are damaged, of another model or
    // without room. Files are written beside their place and renamed.
    std::vector<uint8_t> seq_save(SeqId seq_id, std::span<const Token> tokens = {}) const;
    std::vector<Token> seq_restore(SeqId dst, std::span<const uint8_t> state);
    void seq_save_file(const std::string & path, SeqId seq_id, std::span<const Token> tokens = {}) const;
    std::vector<Token> seq_restore_file(const std::string & path, SeqId dst);

  private:
    void check_seq(SeqId seq_id, const char * param) const;
    void check_present() const;

    llama_context * ctx_ = nullptr;
    const llama_model * model_ = nullptr;
};

}  // namespace shimmy
