#pragma once
// The context's sequences: each empty, kept from a finished request for its prefix, or running one.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/prefix.h"
#include "engine/sequence.h"
#include "llama/context.h"

namespace shimmy {

struct Slot {
    std::unique_ptr<Sequence> sequence;
    AdapterSetId adapters = 0;
    std::vector<Token> kept;  // what a finished request left in the KV cache
    size_t n_shared = 0;      // leading tokens whose cells were taken over from another slot
    uint64_t last_step = 0;   // that used it

    std::span<const Token> computed() const {
        return sequence ? std::span(sequence->tokens()).first(static_cast<size_t>(sequence->n_computed())) : kept;
    }
};

class Slots {
  public:
    // `context` must outlive this. `keep`: finished requests leave their prefix.
    Slots(Context & context, bool keep);

    Slot & operator[](size_t index) { return slots_[index]; }
    const Slot & operator[](size_t index) const { return slots_[index]; }

    // Give the request a slot, with the longest prefix that can be reused. nullopt, and the request untouched, when
    // every slot is running.
    std::optional<size_t> place(std::unique_ptr<Sequence> & sequence, uint64_t step);

    // A request has ended, or gives its cells away and leaves.
    void release(size_t index, bool keep);
    std::unique_ptr<Sequence> preempt(size_t index);

    // Cut the cache back to what the request counts as computed; when the model cannot do that, all of it is lost.
    void rewind(size_t index);

    // Give up kept prefixes, the one unused for longest first, until `n_tokens` more fit. Shared cells are counted
    // once, for their donor; when that is gone the count is too low.
    void evict_for(size_t n_tokens);
    size_t evict_oldest();  // tokens given up; 0: nothing is kept

    uint64_t cells_used() const;  // shared cells counted once

  private:
    void drop_cells(size_t index);

    Context & context_;
    bool keep_;
    ReuseRules reuse_;
    std::vector<Slot> slots_;
};

}  // namespace shimmy
