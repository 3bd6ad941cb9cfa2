#pragma once
// Policy: which cached sequence a new request builds on, and which place it takes. Pure functions.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace shimmy {

// One of the context's sequences: running, or kept from a finished request, or empty.
struct SlotView {
    bool running = false;
    bool pinned = false;     // kept for good: a donor, never a place
    size_t n_tokens = 0;     // whose KV cells are computed
    uint64_t last_step = 0;  // when it was last used
};

// A slot that has a prefix of the prompt.
struct Donor {
    size_t slot;
    size_t n;  // leading prompt tokens that can be taken from it, at least 1
};

struct Placement {
    size_t slot;                  // where the request goes; never a running or pinned one
    std::optional<size_t> donor;  // the slot to fork from; none: `slot` itself has the prefix, if n_reused > 0
    size_t n_reused = 0;          // prompt tokens that need no computing
};

enum class Fork {
    None,   // not possible: the model cannot cut a sequence
    Share,  // costs nothing
    Copy,   // costs the donor's whole length
};

struct ReuseRules {
    bool partial = true;  // a sequence can be cut back
    Fork fork = Fork::Share;
    size_t copy_ratio = 16;   // copying this many cells is cheaper than computing one token
    size_t crowd = SIZE_MAX;  // from so many running requests on they lie side by side where that can be
};

constexpr size_t min_gain = 32;  // tokens that are worth waiting for, or fetching from the host tier

// Whether copying `n_cells` to save computing `n` tokens pays.
bool copy_pays(size_t n, size_t n_cells, const ReuseRules & rules);

// The donor with the most to take. It is continued in place when nothing of the slot is lost by that, forked
// otherwise, and cut in place when it is itself the slot to give up. New requests take empty slots first, then the one
// unused for longest; in a crowd, of those between running ones, and that have most neighbours that run. nullopt when
// every slot is running or pinned.
std::optional<Placement> place_request(std::span<const SlotView> slots, std::span<const Donor> donors,
                                       const ReuseRules & rules);

}  // namespace shimmy
