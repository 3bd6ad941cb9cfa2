#pragma once
// The sequences in a context's memory. A view: it lives as long as its context.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "llama/batch.h"

struct llama_context;

namespace shimmy {

// All positions are [p0, p1); p0 < 0 means 0 and p1 < 0 means the end. Ids outside of [0, n_seq_max) and ranges that
// llama.cpp asserts on throw InvalidRequestError, as does every call on a model without a cache (encoders).
class KvCache {
  public:
    KvCache() = default;
    // `fingerprint` is the model's.
    KvCache(llama_context * ctx, uint64_t fingerprint) : ctx_(ctx), fingerprint_(fingerprint) {}

    void clear();

    // Remove positions of one sequence (-1: of all). False when the model cannot cut a part out (recurrent, hybrid,
    // sliding window); nothing is changed then. Removing a whole sequence always works.
    bool seq_rm(SeqId seq_id, Pos p0 = -1, Pos p1 = -1);

    // Let `dst` share the cells of `src`. With one cache per sequence (kv_unified off) only whole sequences can be
    // copied, and `dst` is overwritten.
    void seq_cp(SeqId src, SeqId dst, Pos p0 = -1, Pos p1 = -1);

    void seq_keep(SeqId seq_id);  // remove every other sequence
    // Shift positions, respectively divide them by d > 1; both need can_shift(). Cells that sequences share move for
    // all of them.
    void seq_add(SeqId seq_id, Pos p0, Pos p1, Pos delta);
    void seq_div(SeqId seq_id, Pos p0, Pos p1, int32_t d);
    Pos seq_pos_min(SeqId seq_id) const;  // -1: empty
    Pos seq_pos_max(SeqId seq_id) const;  // -1: empty
    bool can_shift() const;

    // One sequence with the tokens that it holds, framed with a checksum and the model's fingerprint. restore replaces
    // `dst` and returns the tokens; it throws InvalidRequestError for bytes that are damaged or of another model, and
    // for those that find no room or have other types, which leave `dst` empty. Files are written beside their place
    // and renamed.
    std::vector<uint8_t> seq_save(SeqId seq_id, std::span<const Token> tokens = {}) const;
    std::vector<Token> seq_restore(SeqId dst, std::span<const uint8_t> state);
    void seq_save_file(const std::string & path, SeqId seq_id, std::span<const Token> tokens = {}) const;
    std::vector<Token> seq_restore_file(const std::string & path, SeqId dst);

    // llama.cpp moves cells (seq_add, seq_div, seq_cp with kv_unified off) only in the next decode: until then their
    // content is no state. check_settled throws InvalidRequestError while some wait; a decode that ran calls settle.
    void check_settled() const;
    void settle() { settled_ = true; }
    bool settled() const { return settled_; }

  private:
    void check_seq(SeqId seq_id, const char * param) const;
    void check_present() const;
    bool unified() const;  // one pool of cells, or one sequence

    llama_context * ctx_ = nullptr;
    uint64_t fingerprint_ = 0;
    bool settled_ = true;
};

}  // namespace shimmy
