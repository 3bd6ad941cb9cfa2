#include "engine/prefix.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace shimmy {
namespace {

// Empty, or else unused for longest; in a crowd first of all between others, where a gap closes, or else beside them.
std::optional<size_t> slot_to_give(std::span<const SlotView> slots, const ReuseRules & rules) {
    std::optional<size_t> best;
    const auto is_running = std::mem_fn(&SlotView::running);
    const auto running = static_cast<size_t>(std::count_if(slots.begin(), slots.end(), is_running));
    const auto first = static_cast<size_t>(std::find_if(slots.begin(), slots.end(), is_running) - slots.begin());
    const auto behind = static_cast<size_t>(slots.rend() - std::find_if(slots.rbegin(), slots.rend(), is_running));
    const auto lonely = [&](size_t i) {
        const int beside = (i > 0 && slots[i - 1].running) + (i + 1 < slots.size() && slots[i + 1].running);
        const int outside = i < first || i >= behind ? 2 : 0;
        return running >= rules.crowd ? outside + 2 - beside : 0;
    };
    const auto rank = [&](size_t i) {
        return std::pair(lonely(i), slots[i].n_tokens == 0 ? 0 : slots[i].last_step + 1);
    };
    for (size_t i = 0; i < slots.size(); ++i) {
        if (!slots[i].running && !slots[i].pinned && (!best || rank(i) < rank(*best))) {
            best = i;
        }
    }
    return best;
}

}  // namespace

bool copy_pays(size_t n, size_t n_cells, const ReuseRules & rules) {
    return n_cells / rules.copy_ratio <= n;
}

std::optional<Placement> place_request(std::span<const SlotView> slots, std::span<const Donor> donors,
                                       const ReuseRules & rules) {
    const auto free = slot_to_give(slots, rules);
    if (!free) {
        return std::nullopt;
    }
    Placement best{*free, std::nullopt, 0};
    size_t cost = 0;  // cells copied for it
    for (const auto & donor : donors) {
        const auto & slot = slots[donor.slot];
        const bool whole = donor.n == slot.n_tokens;
        if (!whole && !rules.partial) {
            continue;
        }
        const bool place = !slot.running && !slot.pinned;
        const bool in_place = place && (whole || rules.fork == Fork::None || donor.slot == *free);
        const size_t copied = !in_place && rules.fork == Fork::Copy ? slot.n_tokens : 0;
        if (!in_place && (rules.fork == Fork::None || !copy_pays(donor.n, copied, rules))) {
            continue;
        }
        if (donor.n < best.n_reused) {
            continue;
        }
        const bool better = donor.n > best.n_reused || (in_place && best.donor) || copied < cost;
        if (!better) {
            continue;
        }
        cost = copied;
        if (in_place) {
            best = {donor.slot, std::nullopt, donor.n};
        } else {
            best = {*free, donor.slot, donor.n};
        }
    }
    return best;
}

}  // namespace shimmy
