#pragma once
// Policy: states of sequences that left the KV cache, kept in host memory up to a budget.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/prefix_tree.h"

namespace shimmy {

// What a holder had when it was given up.
struct LostPrefix {
    CacheSpace space;
    std::vector<int32_t> tokens;
};

class HostCache {
  public:
    using State = std::shared_ptr<const std::vector<uint8_t>>;
    using EntryId = PrefixTree::Holder;

    // `n_bytes`: of all states together, 0: keep nothing.
    explicit HostCache(uint64_t n_bytes) : budget_(n_bytes) {}

    // Whether a state of this size is kept: at most half of the budget, so that one never takes it all, and at most
    // max_state_bytes, because it is copied between two steps.
    bool accepts(uint64_t n_bytes) const { return n_bytes <= budget_ / 2 && n_bytes <= max_state_bytes; }

    // Keep a state that accepts() allows. `n_cells`: positions in it, at least one per token. With `cuttable` entries
    // that the new one covers go. Returns what had to go for it, the longest unused first.
    std::vector<LostPrefix> put(const CacheSpace & space, std::span<const int32_t> tokens, size_t n_cells, State state,
                                bool cuttable);

    struct Hit {
        EntryId id;
        size_t n;        // leading tokens of the prompt that it has
        size_t n_cells;  // in its state
    };
    // The best entry for a prompt; with `whole` only entries are looked at whose whole list begins it.
    std::optional<Hit> find(const CacheSpace & space, std::span<const int32_t> prompt, bool whole) const;

    State use(EntryId id);  // its state; it becomes the one used last
    void erase(EntryId id);
    void clear();

    const PrefixTree & tree() const { return tree_; }
    uint64_t bytes() const { return bytes_; }
    uint64_t budget() const { return budget_; }
    size_t size() const { return entries_.size(); }

    static constexpr uint64_t max_state_bytes = uint64_t{512} << 20;

  private:
    struct Entry {
        CacheSpace space;
        State state;
        size_t n_cells;
        uint64_t last_use;
    };

    uint64_t budget_;
    uint64_t bytes_ = 0;
    uint64_t clock_ = 0;
    EntryId next_id_ = 0;
    std::map<EntryId, Entry> entries_;
    PrefixTree tree_;
};

}  // namespace shimmy
