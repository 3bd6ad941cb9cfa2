#include "grammar/grammar_cache.h"

namespace shimmy {

std::shared_ptr<const Grammar> GrammarCache::find(const std::string & key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
        return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->grammar;
}

void GrammarCache::insert(const std::string & key, std::shared_ptr<const Grammar> grammar, size_t n_bytes) {
    n_bytes += 2 * key.size();
    if (by_key_.contains(key) || n_bytes > max_bytes_) {
        return;
    }
    entries_.push_front({key, std::move(grammar), n_bytes});
    by_key_.emplace(key, entries_.begin());
    n_bytes_ += n_bytes;
    while (n_bytes_ > max_bytes_) {
        n_bytes_ -= entries_.back().n_bytes;
        by_key_.erase(entries_.back().key);
        entries_.pop_back();
    }
}

}  // namespace shimmy
