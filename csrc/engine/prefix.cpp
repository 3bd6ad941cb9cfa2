#include "engine/prefix.h"

#include <algorithm>

namespace shimmy {

size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
    const size_t most = std::min(a.size(), b.size());
    return static_cast<size_t>(
        std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

std::optional<Placement> place_request(std::span<const int32_t> prompt, AdapterSetId adapters,
                                       std::span<const SlotView> slots, const ReuseRules & rules) {
    std::optional<size_t> free;  // empty, or else unused for longest
    for (size_t i = 0; i < slots.size(); ++i) {
        if (slots[i].running) {
            continue;
        }
        const auto rank = [&](size_t k) { return slots[k].tokens.empty() ? 0 : slots[k].last_step + 1; };
        if (!free || rank(i) < rank(*free)) {
            free = i;
        }
    }
    if (!free) {
        return std::nullopt;
    }

    Placement best{*free, std::nullopt, 0};
    const size_t usable = prompt.empty() ? 0 : prompt.size() - 1;
    for (size_t i = 0; rules.enabled && i < slots.size(); ++i) {
        const auto & slot = slots[i];
        if (slot.adapters != adapters || slot.tokens.empty()) {
            continue;
        }
        const size_t n = common_prefix(prompt.first(usable), slot.tokens);
        const bool whole = n == slot.tokens.size();
        if (n <= static_cast<size_t>(best.n_reused) || (!whole && !rules.partial)) {
            continue;
        }
        const bool in_place = !slot.running && (whole || !rules.fork || i == *free);
        if (in_place) {
            best = {i, std::nullopt, static_cast<int32_t>(n)};
        } else if (rules.fork) {
            best = {*free, i, static_cast<int32_t>(n)};
        }
    }
    return best;
}

}  // namespace shimmy
