#include "engine/host_cache.h"

#include <algorithm>
#include <utility>

namespace shimmy {

std::vector<LostPrefix> HostCache::put(const CacheSpace & space, std::span<const int32_t> tokens, size_t n_cells,
                                       State state, bool cuttable) {
    for (const auto & end : tree_.match(space, tokens).ends) {
        if (cuttable || end.n == tokens.size()) {
            erase(end.holder);
        }
    }
    std::vector<LostPrefix> lost;
    while (!entries_.empty() && bytes_ + state->size() > budget_) {
        const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const auto & a, const auto & b) {
            return a.second.last_use < b.second.last_use;
        });
        lost.push_back({oldest->second.space, tree_.tokens(oldest->first)});
        erase(oldest->first);
    }
    const EntryId id = next_id_++;
    bytes_ += state->size();
    entries_.emplace(id, Entry{space, std::move(state), n_cells, ++clock_});
    tree_.set(id, space, tokens);
    return lost;
}

std::optional<HostCache::Hit> HostCache::find(const CacheSpace & space, std::span<const int32_t> prompt,
                                              bool whole) const {
    const auto match = tree_.match(space, prompt);
    std::optional<Hit> best;
    if (whole) {
        if (!match.ends.empty()) {
            best = Hit{match.ends.back().holder, match.ends.back().n, 0};
        }
    } else {
        for (const EntryId id : match.holders) {
            if (!best || entries_.at(id).n_cells < entries_.at(best->id).n_cells) {
                best = Hit{id, match.n, 0};
            }
        }
    }
    if (best) {
        best->n_cells = entries_.at(best->id).n_cells;
    }
    return best;
}

HostCache::State HostCache::use(EntryId id) {
    auto & entry = entries_.at(id);
    entry.last_use = ++clock_;
    return entry.state;
}

void HostCache::erase(EntryId id) {
    const auto found = entries_.find(id);
    if (found != entries_.end()) {
        bytes_ -= found->second.state->size();
        tree_.erase(id);
        entries_.erase(found);
    }
}

void HostCache::clear() {
    while (!entries_.empty()) {
        erase(entries_.begin()->first);
    }
}

}  // namespace shimmy
