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
    // `fingerprint` is the model's; `on_device`: cells are in a GPU's memory.
    KvCache(llama_context * ctx, uint64_t fingerprint, bool on_device = false)
        : ctx_(ctx), fingerprint_(fingerprint), on_device_(on_device) {}

    // Forget all cells; `data`: overwrite them too, because NaN in a forgotten cell still spreads.
    void clear(bool data = false);

    // Remove positions of one sequence (-1: of all). False when the model cannot cut a part out (recurrent,
    // hybrid); nothing is changed then. A sliding window is cut, but cells that fell behind it do not come back.
    // Removing a whole sequence always works.
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

    // Let `dst` have the first `n` positions of `src` and nothing else. With kv_unified it shares the cells. Otherwise
    // they are copied: on a device by seq_cp, which copies all n_ctx_seq cells in the next decode; in host memory at
    // once and only what `src` holds, unless that is more than half of its stream.
    void seq_fork(SeqId src, SeqId dst, Pos n);

    // The bare state of a sequence, for this context only: no frame, no checksum. get needs readable(): what it holds
    // is really there, no copy or shift is due. set replaces `dst` and needs writable(): it takes part in none. It is
    // false, and `dst` empty, when there are too few free cells.
    bool readable(SeqId seq_id) const;
    bool writable(SeqId seq_id) const;
    size_t state_bytes(SeqId seq_id) const;
    std::vector<uint8_t> state_get(SeqId seq_id) const;
    bool state_set(SeqId dst, std::span<const uint8_t> state);

    // llama.cpp moves cells (seq_add, seq_div, seq_cp with kv_unified off) only in the next decode: until then their
    // content is no state. check_settled throws InvalidRequestError while some wait; a decode that ran calls settle.
    void check_settled() const;
    void settle();
    bool settled() const { return !shifted_ && copies_.empty(); }
    bool unified() const;  // one pool of cells, or one sequence
    bool on_device() const { return on_device_; }
    uint64_t fingerprint() const { return fingerprint_; }

  private:
    void check_seq(SeqId seq_id, const char * param) const;
    void check_present() const;
    struct Copy {
        SeqId src;
        SeqId dst;
    };

    llama_context * ctx_ = nullptr;
    uint64_t fingerprint_ = 0;
    bool on_device_ = false;
    bool shifted_ = false;      // seq_add or seq_div is due
    std::vector<Copy> copies_;  // between streams, due in this order
};

}  // namespace shimmy
