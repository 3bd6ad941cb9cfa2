#pragma once
// Policy: which computed sequence a new request can build on, and which place it takes. Pure functions.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/schedule.h"

namespace shimmy {

// One of the context's sequences: running, or kept from a finished request, or empty.
struct SlotView {
    bool running = false;
    AdapterSetId adapters = 0;
    std::span<const int32_t> tokens;  // those whose KV cells are computed
    uint64_t last_step = 0;           // when it was last used
};

struct Placement {
    size_t slot;  // where the request goes; never a running one
    std::optional<size_t>
        donor;             // the sequence to copy the prefix from; none: `slot` itself holds it, if anything does
    int32_t n_reused = 0;  // prompt tokens that need no computing
};

struct ReuseRules {
    bool enabled = true;
    bool partial = true;  // a sequence can be cut back (not so for recurrent models and sliding windows)
    bool fork = true;     // cells can be shared between sequences
};

// The longest prefix of `prompt` (less its last token, which has to be computed) that a sequence with the same adapters
// holds. It is continued in place when nothing of the slot is lost by that, and copied otherwise. New requests take
// empty slots first, then the one unused for longest. nullopt when every slot is running.
std::optional<Placement> place_request(std::span<const int32_t> prompt, AdapterSetId adapters,
                                       std::span<const SlotView> slots, const ReuseRules & rules);

size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b);

}  // namespace shimmy
