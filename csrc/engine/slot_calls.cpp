// What embedders ask of the cache beside running requests: save, load, pin and shift.

#include <algorithm>
#include <string>

#include "engine/prefix_state.h"
#include "engine/slots.h"
#include "errors.h"
#include "llama/device.h"

namespace shimmy {
namespace {

[[noreturn]] void not_cached(size_t n) {
    throw InvalidRequestError("these " + std::to_string(n) + " tokens are not cached: run a request with them first",
                              "tokens");
}

}  // namespace

void Slots::check_enabled() const {
    if (!keep_) {
        throw InvalidRequestError("the prefix cache is off (prefix_cache), so nothing is cached", "tokens");
    }
}

// The slot to take all these tokens from: one with nothing else if there is one, else the shortest.
std::optional<size_t> Slots::holder_of(const CacheSpace & space, std::span<const Token> tokens) const {
    const auto match = live_.match(space, tokens);
    std::optional<size_t> best;
    for (const auto holder : match.n == tokens.size() ? match.holders : std::vector<uint32_t>{}) {
        const bool fits_model = rules_.partial || live_.size(holder) == tokens.size();
        if (fits_model && (!best || live_.size(holder) < live_.size(static_cast<uint32_t>(*best)))) {
            best = holder;
        }
    }
    return best;
}

std::optional<HostCache::Hit> Slots::host_holder_of(const CacheSpace & space, std::span<const Token> tokens) const {
    const auto hit = host_.find(space, tokens, !rules_.partial);
    return hit && hit->n == tokens.size() ? hit : std::nullopt;
}

std::vector<uint8_t> Slots::save(const CacheSpace & space, std::span<const Token> tokens, uint64_t adapters) {
    const auto cells = extract(space, tokens);
    return write_prefix_state(context_, adapters, {{tokens.begin(), tokens.end()}, cells.n_cells, *cells.state});
}

// A slot that can have the first n tokens of `index` for a moment; none when nothing follows them. A little is not
// worth what a kept slot has.
std::optional<size_t> Slots::slot_to_cut_in(size_t index, size_t n) {
    const size_t n_behind = ledger_.held(index) - n;
    const auto slot = slot_to_give();
    if (rules_.fork != Fork::Share || n_behind == 0 || !slot || *slot == index ||
        (live_.size(static_cast<uint32_t>(*slot)) > 0 && n_behind < n / 4)) {
        return std::nullopt;
    }
    give_up(*slot);
    return slot;
}

Slots::Extract Slots::extract(const CacheSpace & space, std::span<const Token> tokens) {
    check_enabled();
    if (const auto index = holder_of(space, tokens)) {
        const auto seq_id = static_cast<SeqId>(*index);
        if (!cache_.readable(seq_id)) {
            throw InvalidRequestError("its cells are moved by the next step: save it after that", "tokens");
        }
        const size_t n_bytes = cache_.state_bytes(seq_id);
        if (n_bytes > host_memory().available / 4) {
            throw InvalidRequestError("there is not enough memory to copy its state of " +
                                          std::to_string(n_bytes >> 20) +
                                          " MiB: a quarter of what is free would have to hold it",
                                      "tokens");
        }
        const auto cut = slot_to_cut_in(*index, tokens.size());
        if (!cut) {
            return {std::make_shared<const std::vector<uint8_t>>(cache_.state_get(seq_id)),
                    static_cast<uint32_t>(ledger_.held(*index))};
        }
        const auto cut_id = static_cast<SeqId>(*cut);
        cache_.seq_fork(seq_id, cut_id, static_cast<Pos>(tokens.size()));
        HostCache::State state;
        try {
            state = std::make_shared<const std::vector<uint8_t>>(cache_.state_get(cut_id));
        } catch (...) {
            cache_.seq_rm(cut_id);  // cells that nobody knows would be lost
            throw;
        }
        cache_.seq_rm(cut_id);
        return {std::move(state), static_cast<uint32_t>(tokens.size())};
    }
    if (const auto hit = host_holder_of(space, tokens)) {
        return {host_.use(hit->id), static_cast<uint32_t>(hit->n_cells)};
    }
    not_cached(tokens.size());
}

size_t Slots::cached(const CacheSpace & space, std::span<const Token> tokens) const {
    size_t n = 0;
    for (const PrefixTree * tree : {&live_, &host_.tree()}) {
        const auto match = tree->match(space, tokens);
        n = std::max(n, rules_.partial ? match.n : match.ends.empty() ? 0 : match.ends.back().n);
    }
    return n;
}

std::vector<Token> Slots::load(const CacheSpace & space, std::span<const uint8_t> bytes, uint64_t adapters) {
    check_enabled();
    auto prefix = read_prefix_state(context_, adapters, bytes);
    insert(space, prefix,
           goes_to_host(prefix.state.size())
               ? std::make_shared<const std::vector<uint8_t>>(prefix.state.begin(), prefix.state.end())
               : nullptr);
    return std::move(prefix.tokens);
}

void Slots::insert(const CacheSpace & space, const PrefixState & prefix, HostCache::State copy) {
    check_enabled();
    if (prefix.n_cells > context_.n_ctx_seq()) {
        throw InvalidRequestError("the state has " + std::to_string(prefix.n_cells) + " cells, a sequence here has " +
                                      std::to_string(context_.n_ctx_seq()),
                                  "state");
    }
    if (holder_of(space, prefix.tokens) || host_holder_of(space, prefix.tokens)) {
        return;
    }
    if (copy) {
        for (const auto & lost : host_.put(space, prefix.tokens, prefix.n_cells, std::move(copy), rules_.partial)) {
            remember(lost.space, lost.tokens);
        }
        return;
    }
    const size_t slot = slot_for_copy(prefix.n_cells);
    if (!set_state(slot, space, prefix.tokens, prefix.n_cells, prefix.state)) {
        throw InvalidRequestError("the state does not fit this context", "state");
    }
}

// An emptied slot that n_cells fit into.
size_t Slots::slot_for_copy(size_t n_cells) {
    const auto slot = slot_to_give();
    if (!slot || !cache_.writable(static_cast<SeqId>(*slot))) {
        throw InvalidRequestError("every sequence is in use: raise max_num_seqs, or try again later", "tokens");
    }
    give_up(*slot);
    evict_for(n_cells);
    if (!fits(n_cells)) {
        throw InvalidRequestError("there is no room for " + std::to_string(n_cells) + " KV cells beside the " +
                                      std::to_string(ledger_.used()) + " in use: raise n_ctx, or try again later",
                                  "tokens");
    }
    slots_[*slot].last_step = step_;
    return *slot;
}

size_t Slots::slot_from_host(const CacheSpace & space, std::span<const Token> tokens, const HostCache::Hit & hit) {
    const auto slot = slot_to_give();
    if (!slot || !restore(*slot, space, tokens, hit)) {
        throw InvalidRequestError("there is no sequence, or not enough KV cells, to fetch these " +
                                      std::to_string(tokens.size()) + " tokens from host memory: try again later",
                                  "tokens");
    }
    slots_[*slot].last_step = step_;
    return *slot;
}

void Slots::pin(const CacheSpace & space, std::span<const Token> tokens) {
    check_enabled();
    if (!rules_.partial) {
        throw InvalidRequestError("sequences of this model cannot be shared, so none can be pinned", "tokens");
    }
    size_t n_slots = 1;
    size_t n_cells = tokens.size();
    for (size_t i = 0; i < slots_.size(); ++i) {
        const auto & slot = slots_[i];
        if (slot.n_pinned == 0) {
            continue;
        }
        const auto held = live_.tokens(static_cast<uint32_t>(i));
        if (slot.space == space && slot.n_pinned == tokens.size() &&
            std::equal(tokens.begin(), tokens.end(), held.begin())) {
            return;
        }
        ++n_slots;
        n_cells += slot.n_pinned;
    }
    if (n_slots > slots_.size() / 2 || (cache_.unified() && n_cells > context_.n_ctx() / 2)) {
        throw InvalidRequestError("at most half of the sequences (" + std::to_string(slots_.size()) +
                                      ") and of a unified KV cache (" + std::to_string(context_.n_ctx()) +
                                      " cells) can be pinned: unpin something, or raise max_num_seqs or n_ctx",
                                  "tokens");
    }
    const auto holder = holder_of(space, tokens);
    if (holder && !slots_[*holder].sequence && slots_[*holder].n_pinned == 0) {
        slots_[*holder].n_pinned = tokens.size();
        return;
    }
    const auto hit = host_holder_of(space, tokens);
    if (!holder && !hit) {
        not_cached(tokens.size());
    }
    size_t slot = 0;
    if (holder) {
        slot = slot_for_copy(cache_.unified() ? 0 : tokens.size());
        slots_[slot].space = space;
        fork(*holder, slot, tokens);
    } else {
        slot = slot_from_host(space, tokens, *hit);
    }
    slots_[slot].n_pinned = tokens.size();
}

void Slots::unpin(const CacheSpace & space, std::span<const Token> tokens) {
    const auto match = live_.match(space, tokens);
    for (const auto holder : match.n == tokens.size() ? match.holders : std::vector<uint32_t>{}) {
        if (slots_[holder].n_pinned == tokens.size() && !tokens.empty()) {
            slots_[holder].n_pinned = 0;
            return;
        }
    }
    throw InvalidRequestError("these " + std::to_string(tokens.size()) + " tokens are not pinned", "tokens");
}

bool Slots::unpin_all() {
    bool any = false;
    for (auto & slot : slots_) {
        any = any || slot.n_pinned > 0;
        slot.n_pinned = 0;
    }
    return any;
}

// Whether the slot can be shifted where it is: it is kept, holds nothing else, and what moves is no other slot's too.
bool Slots::moves_alone(size_t index, size_t n, size_t n_left) const {
    const auto & slot = slots_[index];
    return !slot.sequence && slot.n_pinned == 0 && live_.size(static_cast<uint32_t>(index)) == n &&
           ledger_.shared_end(index) <= n_left;
}

std::vector<Token> Slots::shift(const CacheSpace & space, std::span<const Token> tokens, size_t n_keep,
                                size_t n_discard) {
    check_enabled();
    const size_t n = tokens.size();
    if (!rules_.partial || !cache_.can_shift()) {
        throw InvalidRequestError("positions of this model cannot be shifted: start again with fewer tokens", "tokens");
    }
    if (n_discard == 0 || n_keep >= n || n_discard >= n - n_keep) {
        throw InvalidRequestError("n_keep is " + std::to_string(n_keep) + " and n_discard " +
                                      std::to_string(n_discard) +
                                      ": n_discard must be at least 1, and together they "
                                      "must be less than the " +
                                      std::to_string(n) + " tokens",
                                  "n_discard");
    }
    const auto holder = holder_of(space, tokens);
    const auto hit = host_holder_of(space, tokens);
    if (!holder && !hit) {
        not_cached(n);
    }
    size_t slot = holder.value_or(0);
    const bool alone = holder && moves_alone(*holder, n, n_keep + n_discard);
    const auto given = slot_to_give();
    const bool room =
        given && live_.size(static_cast<uint32_t>(*given)) == 0 && (!holder || fits(ledger_.held(*holder)));
    if (!holder) {
        slot = slot_from_host(space, tokens, *hit);
    } else if (room || !alone) {
        const auto source = static_cast<SeqId>(*holder);
        if (!cache_.readable(source)) {
            throw InvalidRequestError("its cells are moved by the next step: shift it after that", "tokens");
        }
        const auto state = cache_.state_get(source);  // moving shared cells would move them for all who have them
        const size_t n_cells = ledger_.held(*holder);
        slot = slot_for_copy(n_cells);
        if (!set_state(slot, space, tokens, n_cells, state)) {
            throw InvalidRequestError("there is no room for a copy of " + std::to_string(n_cells) + " KV cells",
                                      "tokens");
        }
    }
    const auto seq_id = static_cast<SeqId>(slot);
    const auto left = static_cast<Pos>(n_keep + n_discard);
    cache_.seq_rm(seq_id, static_cast<Pos>(n_keep), left);
    cache_.seq_add(seq_id, left, -1, -static_cast<Pos>(n_discard));
    std::vector<Token> shifted(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n_keep));
    shifted.insert(shifted.end(), tokens.begin() + left, tokens.end());
    ledger_.truncate(slot, n_keep);
    ledger_.append(slot, n - static_cast<size_t>(left));
    live_.set(static_cast<uint32_t>(slot), space, shifted);
    ++n_lost_;
    return shifted;
}

}  // namespace shimmy
