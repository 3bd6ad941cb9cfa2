#pragma once
// A cached prefix as bytes that can be kept in a file: checked against damage, another model, other settings of the
// context and other adapters.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/adapter_sets.h"
#include "llama/context.h"

namespace shimmy {

// Equal for sets of the same adapter files with the same scales, whatever they are called; 0 for the empty one.
uint64_t adapters_fingerprint(const AdapterSet & adapters);

// The settings that a sequence's state depends on, as text for people.
std::string state_settings(const Context & context);

struct PrefixState {
    std::vector<Token> tokens;
    uint32_t n_cells = 0;            // positions in the state, at least one per token
    std::span<const uint8_t> state;  // as KvCache::state_get gives it
};

// In a frame of StateKind::Prefix: fingerprint of the adapters (u64), n_cells, length of the settings (u32 each), the
// settings, the state.
std::vector<uint8_t> write_prefix_state(const Context & context, uint64_t adapters, const PrefixState & prefix);

// The state points into `bytes`. Throws InvalidRequestError (state) saying what is wrong or different.
PrefixState read_prefix_state(const Context & context, uint64_t adapters, std::span<const uint8_t> bytes);

}  // namespace shimmy
