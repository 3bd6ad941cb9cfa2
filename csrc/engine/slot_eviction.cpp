// Which kept prefixes give their cells away, and what is remembered of them.

#include <algorithm>
#include <chrono>
#include <new>

#include "engine/slots.h"

namespace shimmy {
namespace {

constexpr size_t min_saved_tokens = 64;
constexpr uint32_t max_ghosts = 64;
constexpr size_t max_ghost_tokens = 4096;

}  // namespace

// The slot is about to lose all but n_staying tokens: keep in host memory what is nowhere else.
void Slots::spill(size_t index, size_t n_staying) {
    const auto holder = static_cast<uint32_t>(index);
    const auto space = slots_[index].space;
    const auto tokens = live_.tokens(holder);
    live_.erase(holder);
    size_t elsewhere = n_staying;
    for (const PrefixTree * tree : std::initializer_list<const PrefixTree *>{&live_, &host_.tree()}) {
        const auto match = tree->match(space, tokens);
        const bool exact = !match.ends.empty() && match.ends.back().n == tokens.size();
        elsewhere = std::max(elsewhere, rules_.partial ? match.n : exact ? tokens.size() : 0);
    }
    if (tokens.size() <= elsewhere) {
        return;
    }
    const auto seq_id = static_cast<SeqId>(index);
    const bool worth = tokens.size() >= min_saved_tokens && tokens.size() >= elsewhere + min_gain;
    if (!worth || host_.budget() == 0 || !cache_.readable(seq_id) || !host_.accepts(cache_.state_bytes(seq_id)) ||
        !spill_pace_.pays()) {
        remember(space, tokens);
        return;
    }
    const auto start = std::chrono::steady_clock::now();
    HostCache::State state;
    try {
        state = std::make_shared<const std::vector<uint8_t>>(cache_.state_get(seq_id));
    } catch (const std::bad_alloc &) {
        remember(space, tokens);  // it can be computed again
        return;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    spill_pace_.saved(static_cast<int64_t>(tokens.size()), took.count());
    ++stats_.host_saves;
    for (const auto & lost : host_.put(space, tokens, ledger_.held(index), std::move(state), rules_.partial)) {
        remember(lost.space, lost.tokens);
    }
}

void Slots::remember(const CacheSpace & space, std::span<const Token> tokens) {
    ghosts_.set(next_ghost_, space, tokens.first(std::min(tokens.size(), max_ghost_tokens)));
    next_ghost_ = (next_ghost_ + 1) % max_ghosts;
    ++n_lost_;
}

void Slots::give_up(size_t index) {
    if (live_.size(static_cast<uint32_t>(index)) > 0) {
        spill(index, 0);
    }
    clear(index);
}

void Slots::clear(size_t index) {
    cache_.seq_rm(static_cast<SeqId>(index));
    ledger_.truncate(index, 0);
    live_.erase(static_cast<uint32_t>(index));
    slots_[index].n_pinned = 0;
}

// A kept slot that has something to give, the one unused for longest; first of those whose end frees cells, if wanted.
std::optional<size_t> Slots::victim(bool frees_cells) const {
    std::optional<size_t> best;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const auto & slot = slots_[i];
        if (slot.sequence || live_.size(static_cast<uint32_t>(i)) <= slot.n_pinned ||
            (frees_cells && ledger_.exclusive(i) == 0)) {
            continue;
        }
        if (!best || slot.last_step < slots_[*best].last_step) {
            best = i;
        }
    }
    return best || !frees_cells ? best : victim(false);
}

size_t Slots::evict(size_t index) {
    const auto holder = static_cast<uint32_t>(index);
    const size_t before = live_.size(holder);
    ++stats_.evictions;
    if (slots_[index].n_pinned > 0) {
        cut(index, slots_[index].n_pinned);
    } else {
        give_up(index);
    }
    return before - live_.size(holder);
}

void Slots::evict_for(size_t n_tokens) {
    while (cache_.unified() && !fits(n_tokens)) {
        const auto index = victim(true);
        if (!index) {
            return;
        }
        evict(*index);
    }
}

size_t Slots::evict_oldest() {
    const auto index = victim(false);
    return index ? evict(*index) : 0;
}

}  // namespace shimmy
