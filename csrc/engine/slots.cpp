#include "engine/slots.h"

#include <algorithm>

namespace shimmy {

Slots::Slots(Context & context, bool keep) : context_(context), keep_(keep), slots_(context.n_seq_max()) {
    const auto & model = *context.model();
    const bool can_cut = !model.is_recurrent() && (model.n_swa() == 0 || context.params().swa_full);
    reuse_ = {keep, can_cut, can_cut && context.params().kv_unified};
}

std::optional<size_t> Slots::place(std::unique_ptr<Sequence> & sequence, uint64_t step) {
    std::vector<SlotView> views;
    for (const auto & slot : slots_) {
        views.push_back({slot.sequence != nullptr, slot.adapters, slot.computed(), slot.last_step});
    }
    const auto placement = place_request(sequence->tokens(), sequence->adapter_set_id(), views, reuse_);
    if (!placement) {
        return std::nullopt;
    }
    auto & slot = slots_[placement->slot];
    auto & cache = context_.kv_cache();
    const auto seq_id = static_cast<SeqId>(placement->slot);
    int32_t n_reused = placement->n_reused;
    if (placement->donor) {
        drop_cells(placement->slot);
        cache.seq_cp(static_cast<SeqId>(*placement->donor), seq_id, 0, n_reused);
        slot.n_shared = static_cast<size_t>(n_reused);
    } else if (n_reused == 0) {
        drop_cells(placement->slot);
    } else if (static_cast<size_t>(n_reused) < slot.kept.size() && !cache.seq_rm(seq_id, n_reused, -1)) {
        drop_cells(placement->slot);
        n_reused = 0;
    }
    slot.kept.clear();
    slot.n_shared = std::min(slot.n_shared, static_cast<size_t>(n_reused));
    slot.adapters = sequence->adapter_set_id();
    slot.last_step = step;
    sequence->admitted(n_reused);
    slot.sequence = std::move(sequence);
    return placement->slot;
}

void Slots::release(size_t index, bool keep) {
    auto & slot = slots_[index];
    if (keep && keep_) {
        const auto tokens = slot.computed();
        std::vector<Token> kept(tokens.begin(), tokens.end());
        slot.sequence.reset();
        slot.kept = std::move(kept);
    } else {
        slot.sequence.reset();
        drop_cells(index);
    }
}

std::unique_ptr<Sequence> Slots::preempt(size_t index) {
    drop_cells(index);
    slots_[index].sequence->lost();
    return std::move(slots_[index].sequence);
}

void Slots::rewind(size_t index) {
    auto & sequence = *slots_[index].sequence;
    if (!context_.kv_cache().seq_rm(static_cast<SeqId>(index), sequence.n_computed(), -1)) {
        drop_cells(index);
        sequence.lost();
    }
}

void Slots::evict_for(size_t n_tokens) {
    if (!context_.params().kv_unified) {
        return;
    }
    uint64_t wanted = cells_used() + n_tokens;
    while (wanted > context_.n_ctx()) {
        const size_t freed = evict_oldest();
        if (freed == 0) {
            return;
        }
        wanted -= std::min<uint64_t>(wanted, freed);
    }
}

size_t Slots::evict_oldest() {
    std::optional<size_t> oldest;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const bool kept = !slots_[i].sequence && !slots_[i].kept.empty();
        if (kept && (!oldest || slots_[i].last_step < slots_[*oldest].last_step)) {
            oldest = i;
        }
    }
    if (!oldest) {
        return 0;
    }
    const size_t n_tokens = slots_[*oldest].kept.size();
    drop_cells(*oldest);
    return n_tokens;
}

uint64_t Slots::cells_used() const {
    uint64_t cells = 0;
    for (const auto & slot : slots_) {
        cells += slot.computed().size() - std::min(slot.n_shared, slot.computed().size());
    }
    return cells;
}

void Slots::drop_cells(size_t index) {
    context_.kv_cache().seq_rm(static_cast<SeqId>(index));
    slots_[index].kept.clear();
    slots_[index].n_shared = 0;
}

}  // namespace shimmy
