#pragma once
// The context's sequences: each empty, kept from a finished request for its prefix, or running one; and what left the
// KV cache for host memory. All calls belong on the thread that decodes.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/cache_miss.h"
#include "engine/cell_ledger.h"
#include "engine/host_cache.h"
#include "engine/prefix.h"
#include "engine/prefix_state.h"
#include "engine/prefix_tree.h"
#include "engine/sequence.h"
#include "engine/spill_pace.h"
#include "llama/context.h"

namespace shimmy {

struct Slot {
    std::unique_ptr<Sequence> sequence;  // none: empty or kept
    CacheSpace space;
    uint64_t last_step = 0;  // that used it
    size_t n_pinned = 0;     // leading tokens that are not evicted
};

struct Placing {
    enum class Outcome {
        Placed,
        Full,  // every slot is running or pinned
        Wait,  // a running request computes tokens that this one can fork when they are there; try again next step
    };
    Outcome outcome;
    size_t slot = 0;  // if Placed
};

// Since the start, unless said otherwise.
struct CacheStats {
    uint64_t forks = 0;            // requests that began on another sequence's cells
    uint64_t waits = 0;            // requests that waited for another one's prefill
    uint64_t evictions = 0;        // kept prefixes that left the KV cache, whole or in part
    uint64_t host_saves = 0;       // of them, and preempted requests: went to host memory
    uint64_t host_restores = 0;    // came back
    uint64_t restored_tokens = 0;  // by that
    uint64_t host_bytes = 0;       // now
    uint64_t host_entries = 0;     // now
};

class Slots {
  public:
    // `context` must outlive this. `keep`: finished requests leave their prefix. `cache_ram_mib` as in EngineParams.
    Slots(Context & context, bool keep, int32_t cache_ram_mib = 0);

    Slot & operator[](size_t index) { return slots_[index]; }
    const Slot & operator[](size_t index) const { return slots_[index]; }

    // Give the request a slot, with the longest prefix of its space that can be had: continued in place, forked, or
    // fetched from host memory. The request is untouched when it is not Placed. A request never waits on anything but
    // a running one, and the decision is taken anew at every call.
    Placing place(std::unique_ptr<Sequence> & sequence, uint64_t step);

    // A step that computed prompts had `n_tokens` and took `seconds`: it decides what is worth saving.
    void prefilled(int32_t n_tokens, double seconds) { spill_pace_.computed(n_tokens, seconds); }

    // Its n_computed() has grown: others can fork that now.
    void computed(size_t index) { follow(index); }

    // A request has ended, or gives its cells away and leaves.
    void release(size_t index, bool keep);
    std::unique_ptr<Sequence> preempt(size_t index);

    // Cut the cache back to what the request counts as computed; when the model cannot do that, all of it is lost. Due
    // after a decode that was stopped, and whenever tokens are taken back.
    void rewind(size_t index);

    // Give up kept prefixes, the one unused for longest first, until `n_tokens` more cells are free. With one stream
    // per sequence there is nothing to do.
    void evict_for(size_t n_tokens);
    size_t evict_oldest();  // tokens given up; 0: nothing is kept but what is pinned

    // Cells that the requests of `running` take when all that is pending is computed, shared ones counted once; and
    // those with `next` beside them.
    uint64_t cells_of(std::span<const size_t> running) const;
    uint64_t cells_with(const Sequence & next, std::span<const size_t> running) const;
    uint64_t cells_pinned() const;  // of finished requests

    // A request that had to wait still has to, for the same leader. Cheap.
    bool still_waits(const Sequence & sequence) const;

    // Empty the cache, the values in it too, and host memory; running requests are computed again.
    void wipe();

    uint64_t cells_used() const { return ledger_.used(); }  // shared cells counted once
    CacheStats stats() const;

    // --- Calls for embedders. They throw InvalidRequestError naming `tokens` when these are not cached in `space`, or
    // the prefix cache is off.

    // A cached prefix as bytes, and back into the cache. `adapters`: adapters_fingerprint of the space's set. Both are
    // these in one: extract and write_prefix_state, read_prefix_state and insert.
    std::vector<uint8_t> save(const CacheSpace & space, std::span<const Token> tokens, uint64_t adapters);
    std::vector<Token> load(const CacheSpace & space, std::span<const uint8_t> bytes, uint64_t adapters);

    // The cells of a cached prefix, without those behind it where a sequence can be had to cut them off in. Also throws
    // when there is no memory for a copy.
    struct Extract {
        HostCache::State state;
        uint32_t n_cells = 0;  // in it, at least one per token
    };
    Extract extract(const CacheSpace & space, std::span<const Token> tokens);

    // Put a state into the cache: into host memory where that takes it (`copy` are its bytes then), else into a slot.
    // Throws InvalidRequestError (state) for one that does not fit this context, (tokens) when there is no room now.
    void insert(const CacheSpace & space, const PrefixState & prefix, HostCache::State copy);
    bool goes_to_host(uint64_t n_bytes) const { return host_.budget() > 0 && host_.accepts(n_bytes); }  // any thread

    // Leading tokens that a request would find computed.
    size_t cached(const CacheSpace & space, std::span<const Token> tokens) const;

    // How often something that was cached became lost. Unchanged: what was cached() still is. Any thread.
    uint64_t n_lost() const { return n_lost_; }

    // Keep a prefix in the KV cache. At most half of the sequences and half of a unified pool can be pinned.
    void pin(const CacheSpace & space, std::span<const Token> tokens);
    void unpin(const CacheSpace & space, std::span<const Token> tokens);
    bool unpin_all();  // false: nothing was. For a request that has no room beside what is pinned.

    // Context shift: a kept sequence without the n_discard tokens after the first n_keep, the later ones moved to the
    // front. The original stays if there is room for both. Returns the new tokens. An approximation: what was
    // discarded has still shaped the later cells (as in llama-server's context shift).
    std::vector<Token> shift(const CacheSpace & space, std::span<const Token> tokens, size_t n_keep, size_t n_discard);

  private:
    struct Taken {
        size_t slot;
        size_t n;  // tokens of the prompt that are there
    };
    struct Wait {
        size_t leader;
        RequestId leader_id;
        size_t n;  // tokens in common with its prompt
    };

    std::vector<SlotView> views() const;
    std::optional<size_t> slot_to_give() const;
    bool must_wait(const Sequence & sequence);
    size_t reusable_now(const Sequence & sequence, std::span<const Token> prompt) const;
    CacheFacts facts(const Sequence & sequence) const;
    std::optional<Taken> take_from_host(const Sequence & sequence);
    Taken take_live(const Sequence & sequence);

    void follow(size_t index);
    void end_prefill(size_t index);
    void drop_duplicates(size_t index);
    void fork(size_t donor, size_t slot, std::span<const Token> tokens);
    bool cut(size_t index, size_t n);
    bool cut_cells(size_t index, size_t n);  // false: what is left is of no use
    bool restore(size_t slot, const CacheSpace & space, std::span<const Token> tokens, const HostCache::Hit & hit);
    bool set_state(size_t slot, const CacheSpace & space, std::span<const Token> tokens, size_t n_cells,
                   std::span<const uint8_t> state);
    void spill(size_t index, size_t n_staying);
    void remember(const CacheSpace & space, std::span<const Token> tokens);
    void give_up(size_t index);
    void clear(size_t index);
    size_t evict(size_t index);
    std::optional<size_t> victim(bool frees_cells) const;
    bool fits(size_t n_cells) const;

    void check_enabled() const;
    std::optional<size_t> holder_of(const CacheSpace & space, std::span<const Token> tokens) const;
    std::optional<HostCache::Hit> host_holder_of(const CacheSpace & space, std::span<const Token> tokens) const;
    size_t slot_for_copy(size_t n_cells);
    std::optional<size_t> slot_to_cut_in(size_t index, size_t n);
    size_t slot_from_host(const CacheSpace & space, std::span<const Token> tokens, const HostCache::Hit & hit);
    bool moves_alone(size_t index, size_t n, size_t n_left) const;

    Context & context_;
    KvCache & cache_;
    bool keep_;
    ReuseRules rules_;
    std::vector<Slot> slots_;
    CellLedger ledger_;
    PrefixTree live_;     // slot -> computed tokens
    PrefixTree prompts_;  // running slot -> its whole prompt, until that is computed
    PrefixTree ghosts_;   // what was given up lately
    uint32_t next_ghost_ = 0;
    uint64_t step_ = 0;  // of the last place()
    HostCache host_;
    SpillPace spill_pace_;
    std::unordered_map<RequestId, Wait> waits_;  // ends with the leader's prefill
    CacheStats stats_;
    std::atomic<uint64_t> n_lost_ = 0;
};

}  // namespace shimmy
