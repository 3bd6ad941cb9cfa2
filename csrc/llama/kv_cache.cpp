#include "llama/kv_cache.h"

#include <llama.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "errors.h"
#include "llama/log_sink.h"
#include "llama/native_abort.h"
#include "llama/state_frame.h"

namespace shimmy {

void KvCache::check_present() const {
    if (!llama_get_memory(ctx_)) {
        throw InvalidRequestError("this model has no KV cache");
    }
}

void KvCache::check_seq(SeqId seq_id, const char * param) const {
    check_present();
    const auto n_seq_max = static_cast<SeqId>(llama_n_seq_max(ctx_));
    if (seq_id < 0 || seq_id >= n_seq_max) {
        throw InvalidRequestError(std::string(param) + " is " + std::to_string(seq_id) +
                                      ", the context has sequences 0 to " + std::to_string(n_seq_max - 1),
                                  param);
    }
}

void KvCache::check_settled() const {
    if (!settled()) {
        throw InvalidRequestError(
            "cells are still to be moved by the next decode (seq_add, seq_div, or seq_cp with kv_unified off): decode "
            "before saving or restoring a state");
    }
}

void KvCache::clear(bool data) {
    check_present();
    llama_memory_clear(llama_get_memory(ctx_), data);
    shifted_ = shifted_ && !unified();  // copies between streams still happen
}

bool KvCache::unified() const {
    return llama_n_ctx_seq(ctx_) == llama_n_ctx(ctx_);
}

bool KvCache::seq_rm(SeqId seq_id, Pos p0, Pos p1) {
    if (seq_id == -1) {
        check_present();
    } else {
        check_seq(seq_id, "seq_id");
    }
    AbortGuard guard;
    return llama_memory_seq_rm(llama_get_memory(ctx_), seq_id, p0, p1);
}

void KvCache::seq_cp(SeqId src, SeqId dst, Pos p0, Pos p1) {
    check_seq(src, "src");
    check_seq(dst, "dst");
    const bool whole = p0 <= 0 && (p1 < 0 || p1 > seq_pos_max(src));
    if (!unified() && !whole) {
        throw InvalidRequestError(
            "with kv_unified off only a whole sequence can be copied: copy all, then seq_rm the rest", "p1");
    }
    AbortGuard guard;
    if (!unified() && src != dst) {
        copies_.push_back({src, dst});
    }
    llama_memory_seq_cp(llama_get_memory(ctx_), src, dst, whole ? -1 : p0, whole ? -1 : p1);
}

void KvCache::seq_keep(SeqId seq_id) {
    check_seq(seq_id, "seq_id");
    for (SeqId other = 0; other < static_cast<SeqId>(llama_n_seq_max(ctx_)); ++other) {
        if (other != seq_id) {
            seq_rm(other);
        }
    }
}

void KvCache::seq_add(SeqId seq_id, Pos p0, Pos p1, Pos delta) {
    check_seq(seq_id, "seq_id");
    if (!can_shift()) {
        throw InvalidRequestError("this model's positions cannot be shifted");
    }
    const int64_t first = std::max(p0, seq_pos_min(seq_id));
    const int64_t last = p1 < 0 ? seq_pos_max(seq_id) : std::min<int64_t>(p1 - 1, seq_pos_max(seq_id));
    if (first < 0 || first > last) {
        return;
    }
    if (first + delta < 0) {
        throw InvalidRequestError("delta " + std::to_string(delta) + " would make positions negative", "delta");
    }
    if (last + delta > std::numeric_limits<Pos>::max()) {
        throw InvalidRequestError("delta " + std::to_string(delta) + " would make positions overflow", "delta");
    }
    AbortGuard guard;
    shifted_ = shifted_ || delta != 0;
    llama_memory_seq_add(llama_get_memory(ctx_), seq_id, p0, p1, delta);
}

void KvCache::seq_div(SeqId seq_id, Pos p0, Pos p1, int32_t d) {
    check_seq(seq_id, "seq_id");
    if (d < 1) {
        throw InvalidRequestError("d is " + std::to_string(d) + ", it must be at least 1", "d");
    }
    if (!can_shift()) {
        throw InvalidRequestError("this model's positions cannot be shifted");
    }
    if (d == 1) {
        return;
    }
    AbortGuard guard;
    shifted_ = true;
    llama_memory_seq_div(llama_get_memory(ctx_), seq_id, p0, p1, d);
}

Pos KvCache::seq_pos_min(SeqId seq_id) const {
    check_seq(seq_id, "seq_id");
    return llama_memory_seq_pos_min(llama_get_memory(ctx_), seq_id);
}

Pos KvCache::seq_pos_max(SeqId seq_id) const {
    check_seq(seq_id, "seq_id");
    return llama_memory_seq_pos_max(llama_get_memory(ctx_), seq_id);
}

bool KvCache::can_shift() const {
    check_present();
    return llama_memory_can_shift(llama_get_memory(ctx_));
}

void KvCache::settle() {
    shifted_ = false;
    copies_.clear();
}

void KvCache::seq_fork(SeqId src, SeqId dst, Pos n) {
    check_seq(src, "src");
    check_seq(dst, "dst");
    if (src == dst) {
        seq_rm(dst, n, -1);
        return;
    }
    seq_rm(dst);
    if (unified()) {
        seq_cp(src, dst, 0, n);
        return;
    }
    const bool at_once = !on_device_ && readable(src) && writable(dst) &&
                         2 * (int64_t{seq_pos_max(src)} + 1) < int64_t{llama_n_ctx_seq(ctx_)};
    if (!at_once || !state_set(dst, state_get(src))) {
        seq_cp(src, dst);
    }
    seq_rm(dst, n, -1);
}

bool KvCache::readable(SeqId seq_id) const {
    return !shifted_ &&
           std::none_of(copies_.begin(), copies_.end(), [&](const Copy & copy) { return copy.dst == seq_id; });
}

bool KvCache::writable(SeqId seq_id) const {
    return !shifted_ && std::none_of(copies_.begin(), copies_.end(),
                                     [&](const Copy & copy) { return copy.src == seq_id || copy.dst == seq_id; });
}

size_t KvCache::state_bytes(SeqId seq_id) const {
    check_seq(seq_id, "seq_id");
    AbortGuard guard;
    return llama_state_seq_get_size(ctx_, seq_id);
}

std::vector<uint8_t> KvCache::state_get(SeqId seq_id) const {
    std::vector<uint8_t> data(state_bytes(seq_id));
    AbortGuard guard;
    data.resize(llama_state_seq_get_data(ctx_, data.data(), data.size(), seq_id));
    return data;
}

bool KvCache::state_set(SeqId dst, std::span<const uint8_t> state) {
    check_seq(dst, "dst");
    AbortGuard guard;
    LogCapture log(LogCapture::Lines::Hold);
    llama_memory_seq_rm(llama_get_memory(ctx_), dst, -1, -1);
    if (llama_state_seq_set_data(ctx_, state.data(), state.size(), dst) == 0) {
        llama_memory_seq_rm(llama_get_memory(ctx_), dst, -1, -1);
        log.excuse();
        return false;
    }
    return true;
}

std::vector<uint8_t> KvCache::seq_save(SeqId seq_id, std::span<const Token> tokens) const {
    check_seq(seq_id, "seq_id");
    check_settled();
    return frame_state(StateKind::Sequence, fingerprint_, tokens, {state_get(seq_id)});
}

std::vector<Token> KvCache::seq_restore(SeqId dst, std::span<const uint8_t> state) {
    check_seq(dst, "dst");
    check_settled();
    const auto frame = unframe_state(StateKind::Sequence, fingerprint_, state);
    AbortGuard guard;
    llama_memory_seq_rm(llama_get_memory(ctx_), dst, -1, -1);
    if (llama_state_seq_set_data(ctx_, frame.data.data(), frame.data.size(), dst) == 0) {
        llama_memory_seq_rm(llama_get_memory(ctx_), dst, -1, -1);
        throw InvalidRequestError(
            "the state does not fit: it was saved with another type_k, type_v, flash_attn or kv_unified (or n_seq_max "
            "with kv_unified off), or there are not enough free cells",
            "state");
    }
    return frame.tokens;
}

void KvCache::seq_save_file(const std::string & path, SeqId seq_id, std::span<const Token> tokens) const {
    const auto state = seq_save(seq_id, tokens);
    std::error_code error;
    if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
        throw InvalidRequestError(path + " is no regular file, so it is not replaced", "path");
    }
    const std::string partial = path + ".partial";
    {
        std::ofstream file(partial, std::ios::binary | std::ios::trunc);
        file.write(reinterpret_cast<const char *>(state.data()), static_cast<std::streamsize>(state.size()));
        file.flush();
        if (!file) {
            std::remove(partial.c_str());
            throw InvalidRequestError("cannot write " + std::to_string(state.size()) + " bytes to " + partial, "path");
        }
    }
    std::filesystem::rename(partial, path, error);
    if (error) {
        std::remove(partial.c_str());
        throw InvalidRequestError("cannot rename " + partial + " to " + path + ": " + error.message(), "path");
    }
}

std::vector<Token> KvCache::seq_restore_file(const std::string & path, SeqId dst) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
        throw InvalidRequestError(path + " is no file that could hold a state", "path");
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw InvalidRequestError("cannot open " + path, "path");
    }
    const std::vector<uint8_t> state{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    return seq_restore(dst, state);
}

}  // namespace shimmy
