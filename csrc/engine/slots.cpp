#include "engine/slots.h"

#include <algorithm>

#include "llama/device.h"

namespace shimmy {
namespace {

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr uint64_t most_by_default = 2048 * mib;

// With cells of their own requests that are no neighbours are computed one after the other, each time with all weights.
constexpr size_t crowd = 8;

uint64_t host_budget(int32_t cache_ram_mib) {
    return cache_ram_mib >= 0 ? static_cast<uint64_t>(cache_ram_mib) * mib
                              : std::min(host_memory().available / 8, most_by_default);
}

size_t usable(const Sequence & sequence, size_t n) {
    return static_cast<size_t>(std::max(sequence.reusable(static_cast<int32_t>(n)), 0));
}

CacheSpace space_of(const Sequence & sequence) {
    return {sequence.tenant(), sequence.adapter_set_id()};
}

}  // namespace

Slots::Slots(Context & context, bool keep, int32_t cache_ram_mib)
    : context_(context),
      cache_(context.kv_cache()),
      keep_(keep),
      slots_(context.n_seq_max()),
      ledger_(slots_.size()),
      host_(keep ? host_budget(cache_ram_mib) : 0) {
    const auto & model = *context.model();
    rules_.partial = !model.is_recurrent() && (model.n_swa() == 0 || context.params().swa_full);
    rules_.fork = !rules_.partial ? Fork::None : cache_.unified() ? Fork::Share : Fork::Copy;
    rules_.crowd = cache_.unified() ? rules_.crowd : crowd;
    if (cache_.on_device()) {
        rules_.copy_ratio = 1024;  // device memory is that much faster than its own prefill
    }
}

std::vector<SlotView> Slots::views() const {
    std::vector<SlotView> views;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const auto & slot = slots_[i];
        views.push_back(
            {slot.sequence != nullptr, slot.n_pinned > 0, live_.size(static_cast<uint32_t>(i)), slot.last_step});
    }
    return views;
}

std::optional<size_t> Slots::slot_to_give() const {
    const auto placement = place_request(views(), {}, rules_);
    return placement ? std::optional(placement->slot) : std::nullopt;
}

Placing Slots::place(std::unique_ptr<Sequence> & sequence, uint64_t step) {
    step_ = step;
    if (!slot_to_give()) {
        return {Placing::Outcome::Full};
    }
    if (keep_ && must_wait(*sequence)) {
        return {Placing::Outcome::Wait};
    }
    auto known = facts(*sequence);
    const auto fetched = take_from_host(*sequence);
    const auto taken = fetched ? *fetched : take_live(*sequence);
    const size_t index = taken.slot;
    known.reused = taken.n;

    auto & slot = slots_[index];
    slot.space = space_of(*sequence);
    slot.last_step = step;
    if (keep_) {
        prompts_.set(static_cast<uint32_t>(index), slot.space,
                     std::span(sequence->tokens()).first(sequence->shareable_prompt()));
    }
    waits_.erase(sequence->id());
    sequence->admitted(static_cast<int32_t>(taken.n), classify_miss(known));
    slot.sequence = std::move(sequence);
    return {Placing::Outcome::Placed, index};
}

bool Slots::still_waits(const Sequence & sequence) const {
    const auto found = waits_.find(sequence.id());
    if (found == waits_.end()) {
        return false;
    }
    const auto & wait = found->second;
    const auto & leader = slots_[wait.leader].sequence;
    return leader && leader->id() == wait.leader_id &&
           usable(sequence, wait.n) >= usable(sequence, static_cast<size_t>(leader->shareable())) + min_gain;
}

// Whether a running request is about to compute at least min_gain tokens that this one could fork.
bool Slots::must_wait(const Sequence & sequence) {
    if (rules_.fork == Fork::None) {
        return false;
    }
    const auto gain = [&](size_t then, size_t now) {
        return usable(sequence, then) >= usable(sequence, now) + min_gain;
    };
    if (still_waits(sequence)) {
        return true;
    }
    waits_.erase(sequence.id());
    const auto match = prompts_.match(space_of(sequence), sequence.tokens());
    if (!gain(match.n, 0) || !gain(match.n, reusable_now(sequence, sequence.tokens()))) {
        return false;
    }
    const auto leader = *std::max_element(match.holders.begin(), match.holders.end(), [&](auto a, auto b) {
        return slots_[a].sequence->n_computed() < slots_[b].sequence->n_computed();
    });
    if (rules_.fork == Fork::Copy && !copy_pays(match.n, slots_[leader].sequence->tokens().size(), rules_)) {
        return false;
    }
    waits_[sequence.id()] = {leader, slots_[leader].sequence->id(), match.n};
    ++stats_.waits;
    return true;
}

uint64_t Slots::cells_of(std::span<const size_t> running) const {
    uint64_t cells = ledger_.used_by(running);
    for (const size_t index : running) {
        cells += static_cast<uint64_t>(slots_[index].sequence->n_pending());
    }
    return cells;
}

uint64_t Slots::cells_pinned() const {
    std::vector<size_t> pinned;
    for (size_t i = 0; i < slots_.size(); ++i) {
        if (!slots_[i].sequence && slots_[i].n_pinned > 0) {
            pinned.push_back(i);
        }
    }
    return pinned.empty() ? 0 : ledger_.used_by(pinned);
}

void Slots::wipe() {
    for (size_t i = 0; i < slots_.size(); ++i) {
        end_prefill(i);
        clear(i);
        if (slots_[i].sequence) {
            slots_[i].sequence->lost();
        }
    }
    cache_.clear(true);
    host_.clear();
    ++n_lost_;
}

uint64_t Slots::cells_with(const Sequence & next, std::span<const size_t> running) const {
    const uint64_t cells = cells_of(running) + next.tokens().size();
    if (!keep_ || rules_.fork == Fork::None) {
        return cells;
    }
    const auto live = live_.match(space_of(next), next.tokens());
    const bool is_running = std::any_of(live.holders.begin(), live.holders.end(),
                                        [&](auto holder) { return slots_[holder].sequence != nullptr; });
    const size_t shared = is_running ? live.n : 0;  // what is restored gets cells of its own
    return host_.tree().match(space_of(next), next.tokens()).n > shared ? cells : cells - usable(next, shared);
}

size_t Slots::reusable_now(const Sequence & sequence, std::span<const Token> prompt) const {
    const auto space = space_of(sequence);
    return std::max(live_.match(space, prompt).n, host_.tree().match(space, prompt).n);
}

CacheFacts Slots::facts(const Sequence & sequence) const {
    CacheFacts facts;
    const std::span<const Token> prompt = sequence.tokens();
    facts.enabled = keep_;
    facts.n_prompt = prompt.size();
    facts.usable = usable(sequence, prompt.size());
    if (keep_) {
        const auto space = space_of(sequence);
        facts.cached = usable(sequence, reusable_now(sequence, prompt));
        facts.evicted = usable(sequence, ghosts_.match(space, prompt).n);
        facts.other_adapters = usable(sequence, std::max(live_.match_other_adapters(space, prompt),
                                                         host_.tree().match_other_adapters(space, prompt)));
        facts.any = live_.has(space) || host_.tree().has(space);
    }
    return facts;
}

std::optional<Slots::Taken> Slots::take_from_host(const Sequence & sequence) {
    const auto space = space_of(sequence);
    const std::span<const Token> prompt = sequence.tokens();
    const auto hit = host_.find(space, prompt, !rules_.partial);
    const size_t n = hit ? usable(sequence, hit->n) : 0;
    if (n < min_gain || (!rules_.partial && n != hit->n)) {
        return std::nullopt;
    }
    const size_t n_live = usable(sequence, live_.match(space, prompt).n);
    if (n < n_live + min_gain || !copy_pays(n - n_live, hit->n_cells, rules_)) {
        return std::nullopt;
    }
    const auto slot = slot_to_give();
    if (!slot || !restore(*slot, space, prompt.first(n), *hit)) {
        return std::nullopt;
    }
    return Taken{*slot, n};
}

Slots::Taken Slots::take_live(const Sequence & sequence) {
    const std::span<const Token> prompt = sequence.tokens();
    std::vector<Donor> donors;
    if (keep_) {
        const auto match = live_.match(space_of(sequence), prompt);
        const size_t most = usable(sequence, match.n);
        for (const auto holder : most > 0 ? match.holders : std::vector<uint32_t>{}) {
            donors.push_back({holder, most});
        }
        for (const auto & end : match.ends) {
            if (const size_t n = usable(sequence, end.n); n > 0) {
                donors.push_back({end.holder, n});
            }
        }
    }
    const auto placement = *place_request(views(), donors, rules_);
    if (placement.donor) {
        give_up(placement.slot);
        slots_[placement.slot].space = space_of(sequence);
        fork(*placement.donor, placement.slot, prompt.first(placement.n_reused));
        ++stats_.forks;
    } else if (placement.n_reused == 0) {
        give_up(placement.slot);
    } else if (!cut(placement.slot, placement.n_reused)) {
        return {placement.slot, 0};
    }
    return {placement.slot, placement.n_reused};
}

// Let the tree and the ledger say what the request counts as computed.
void Slots::follow(size_t index) {
    const auto & slot = slots_[index];
    const auto & sequence = *slot.sequence;
    const auto n = static_cast<size_t>(sequence.n_computed());
    const size_t held = ledger_.held(index);
    ledger_.truncate(index, n);
    ledger_.append(index, n - std::min(n, held));
    if (!keep_) {
        return;
    }
    const auto holder = static_cast<uint32_t>(index);
    if (!live_.contains(holder)) {
        live_.set(holder, slot.space, {});
    }
    const auto shared = static_cast<size_t>(sequence.shareable());
    if (live_.size(holder) > shared) {
        live_.truncate(holder, shared);
        ++n_lost_;
    }
    const size_t known = live_.size(holder);
    live_.append(holder, std::span(sequence.tokens()).subspan(known, shared - known));
    if (prompts_.contains(holder) && n >= prompts_.size(holder)) {
        end_prefill(index);
    }
}

void Slots::end_prefill(size_t index) {
    prompts_.erase(static_cast<uint32_t>(index));
    std::erase_if(waits_, [&](const auto & entry) { return entry.second.leader == index; });
}

void Slots::release(size_t index, bool keep) {
    auto & slot = slots_[index];
    follow(index);
    end_prefill(index);
    slot.sequence.reset();
    const size_t n = live_.size(static_cast<uint32_t>(index));
    if (!keep || !keep_ || n == 0 || (n < ledger_.held(index) && !cut_cells(index, n))) {
        clear(index);
        ++n_lost_;
    } else {
        ledger_.truncate(index, n);
        drop_duplicates(index);
    }
}

// Nothing is lost when another kept slot has it all, or when this one has all of another.
void Slots::drop_duplicates(size_t index) {
    const auto holder = static_cast<uint32_t>(index);
    const auto & mine = slots_[index];
    const size_t n = live_.size(holder);
    const auto match = live_.match(mine.space, live_.tokens(holder));
    for (const auto other : match.holders) {
        auto & slot = slots_[other];
        if (other != holder && !slot.sequence && (rules_.partial || live_.size(other) == n)) {
            slot.last_step = std::max(slot.last_step, mine.last_step);
            clear(index);
            return;
        }
    }
    // Where forks cost the donor's length, a short one is worth its place.
    for (const auto & end : rules_.fork == Fork::Share ? match.ends : std::vector<PrefixTree::End>{}) {
        if (end.holder != holder && !slots_[end.holder].sequence && slots_[end.holder].n_pinned == 0) {
            clear(end.holder);
        }
    }
}

std::unique_ptr<Sequence> Slots::preempt(size_t index) {
    end_prefill(index);
    give_up(index);
    slots_[index].sequence->lost();
    return std::move(slots_[index].sequence);
}

// llama.cpp cuts a sliding window's sequence too, but cells that fell behind the window are gone: then the tokens
// before the cut have a hole in theirs.
bool Slots::cut_cells(size_t index, size_t n) {
    const auto seq_id = static_cast<SeqId>(index);
    if (cache_.seq_pos_max(seq_id) < static_cast<Pos>(n)) {
        return true;
    }
    if (!cache_.seq_rm(seq_id, static_cast<Pos>(n), -1)) {
        return false;
    }
    const int64_t window = context_.model()->n_swa();
    return window == 0 || context_.params().swa_full || n == 0 ||
           cache_.seq_pos_min(seq_id) <= std::max<int64_t>(0, static_cast<int64_t>(n) - window);
}

void Slots::rewind(size_t index) {
    auto & sequence = *slots_[index].sequence;
    if (!cut_cells(index, static_cast<size_t>(sequence.n_computed()))) {
        clear(index);
        ++n_lost_;
        sequence.lost();
    }
    follow(index);
}

void Slots::fork(size_t donor, size_t slot, std::span<const Token> tokens) {
    cache_.seq_fork(static_cast<SeqId>(donor), static_cast<SeqId>(slot), static_cast<Pos>(tokens.size()));
    if (rules_.fork == Fork::Share) {
        ledger_.share(donor, slot, tokens.size());
    } else {
        ledger_.append(slot, tokens.size());
    }
    live_.set(static_cast<uint32_t>(slot), slots_[slot].space, tokens);
}

// Keep the first n tokens of a kept slot. False, and the slot empty, when the model cannot do that.
bool Slots::cut(size_t index, size_t n) {
    const auto holder = static_cast<uint32_t>(index);
    if (live_.size(holder) <= n) {
        return true;
    }
    auto tokens = live_.tokens(holder);
    spill(index, n);
    if (!cut_cells(index, n)) {
        clear(index);
        ++n_lost_;
        return false;
    }
    ledger_.truncate(index, n);
    tokens.resize(n);
    live_.set(holder, slots_[index].space, tokens);
    return true;
}

bool Slots::fits(size_t n_cells) const {
    return !cache_.unified() ? n_cells <= context_.n_ctx_seq() : ledger_.used() + n_cells <= context_.n_ctx();
}

bool Slots::restore(size_t slot, const CacheSpace & space, std::span<const Token> tokens, const HostCache::Hit & hit) {
    const auto state = host_.use(hit.id);
    if (!cache_.writable(static_cast<SeqId>(slot))) {
        return false;
    }
    give_up(slot);
    evict_for(hit.n_cells);
    if (!fits(hit.n_cells)) {
        return false;
    }
    if (!set_state(slot, space, tokens, hit.n_cells, *state)) {
        host_.erase(hit.id);
        ++n_lost_;
        return false;
    }
    ++stats_.host_restores;
    stats_.restored_tokens += tokens.size();
    return true;
}

// Fill an empty slot from a state that has n_cells positions, and cut it to `tokens`.
bool Slots::set_state(size_t slot, const CacheSpace & space, std::span<const Token> tokens, size_t n_cells,
                      std::span<const uint8_t> state) {
    const auto seq_id = static_cast<SeqId>(slot);
    const size_t n = tokens.size();
    if (!cache_.state_set(seq_id, state) || (n < n_cells && !cut_cells(slot, n)) ||
        cache_.seq_pos_max(seq_id) + 1 != static_cast<Pos>(n)) {
        clear(slot);
        return false;
    }
    slots_[slot].space = space;
    ledger_.append(slot, n);
    live_.set(static_cast<uint32_t>(slot), space, tokens);
    return true;
}

CacheStats Slots::stats() const {
    auto stats = stats_;
    stats.host_bytes = host_.bytes();
    stats.host_entries = host_.size();
    return stats;
}

}  // namespace shimmy
