#include "engine/cell_ledger.h"

#include <algorithm>

namespace shimmy {

void CellLedger::append(size_t slot, size_t n) {
    if (n == 0) {
        return;
    }
    auto & parts = slots_[slot];
    used_ += n;
    // The end of a run can be continued by one slot only.
    if (!parts.empty() && longest_.at(parts.back().run) == parts.back().n) {
        parts.back().n += n;
        longest_[parts.back().run] += n;
    } else {
        longest_.emplace(next_run_, n);
        parts.push_back({next_run_++, n});
    }
}

void CellLedger::truncate(size_t slot, size_t n) {
    auto & parts = slots_[slot];
    size_t excess = held(slot) - std::min(n, held(slot));
    while (excess > 0) {
        auto & last = parts.back();
        const size_t left = last.n - std::min(excess, last.n);
        excess -= last.n - left;
        const size_t longest = std::max(left, others(slot, last.run));
        used_ -= longest_.at(last.run) - longest;
        if (longest == 0) {
            longest_.erase(last.run);
        } else {
            longest_[last.run] = longest;
        }
        last.n = left;
        if (left == 0) {
            parts.pop_back();
        }
    }
}

void CellLedger::share(size_t donor, size_t slot, size_t n) {
    truncate(slot, 0);
    for (const auto & part : slots_[donor]) {
        const size_t taken = std::min(n, part.n);
        if (taken == 0) {
            break;
        }
        slots_[slot].push_back({part.run, taken});
        n -= taken;
    }
}

uint64_t CellLedger::used_by(std::span<const size_t> slots) const {
    std::unordered_map<uint64_t, size_t> runs;
    for (const size_t slot : slots) {
        for (const auto & part : slots_[slot]) {
            auto & longest = runs[part.run];
            longest = std::max(longest, part.n);
        }
    }
    uint64_t used = 0;
    for (const auto & [run, n] : runs) {
        used += n;
    }
    return used;
}

size_t CellLedger::held(size_t slot) const {
    size_t n = 0;
    for (const auto & part : slots_[slot]) {
        n += part.n;
    }
    return n;
}

size_t CellLedger::exclusive(size_t slot) const {
    size_t n = 0;
    for (const auto & part : slots_[slot]) {
        n += part.n - std::min(part.n, others(slot, part.run));
    }
    return n;
}

size_t CellLedger::shared_end(size_t slot) const {
    size_t start = 0;
    size_t end = 0;
    for (const auto & part : slots_[slot]) {
        const size_t shared = std::min(part.n, others(slot, part.run));
        end = shared > 0 ? start + shared : end;
        start += part.n;
    }
    return end;
}

size_t CellLedger::others(size_t slot, uint64_t run) const {
    size_t longest = 0;
    for (size_t i = 0; i < slots_.size(); ++i) {
        for (const auto & part : slots_[i]) {
            if (i != slot && part.run == run) {
                longest = std::max(longest, part.n);
            }
        }
    }
    return longest;
}

}  // namespace shimmy
