#pragma once
// The frame around saved states. llama.cpp trusts its own bytes (a flipped bit is accepted), so a state carries a
// checksum and the fingerprint of the model that wrote it.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "llama/tokenizer.h"

namespace shimmy {

// Prefix: a sequence of an engine, its data as prefix_state.h describes.
enum class StateKind : uint32_t { Context = 1, Sequence = 2, Prefix = 3 };

// Little-endian: magic "SHMS", version, kind, n_tokens (u32 each); fingerprint, data size, checksum of all that follows
// (u64 each); the tokens (i32 each); the data, which is the parts one after the other.
std::vector<uint8_t> frame_state(StateKind kind, uint64_t fingerprint, std::span<const Token> tokens,
                                 std::initializer_list<std::span<const uint8_t>> parts);

struct StateFrame {
    std::vector<Token> tokens;
    std::span<const uint8_t> data;  // into the framed bytes
};

// Throws InvalidRequestError saying what does not fit.
StateFrame unframe_state(StateKind kind, uint64_t fingerprint, std::span<const uint8_t> framed);

}  // namespace shimmy
