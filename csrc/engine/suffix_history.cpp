#include "engine/suffix_history.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace shimmy {

SuffixHistory::SuffixHistory(size_t n_tokens, size_t max_bytes, int32_t min_match)
    : half_(std::min(n_tokens, max_bytes / SuffixIndex::max_bytes_per_token) / 2),
      max_bytes_(max_bytes),
      min_match_(min_match) {
    SuffixIndex{min_match};  // throws for what it would refuse later
}

SuffixHistory::Tenant & SuffixHistory::use(Tenants::iterator tenant) {
    tenants_.splice(tenants_.begin(), tenants_, tenant);
    return tenants_.front();
}

void SuffixHistory::remove(Tenants::iterator tenant) {
    bytes_ -= tenant->bytes();
    by_name_.erase(tenant->name);
    tenants_.erase(tenant);
}

void SuffixHistory::append(const std::string & tenant, std::span<const int32_t> document) {
    if (document.size() <= static_cast<size_t>(min_match_) || half_ <= static_cast<size_t>(min_match_)) {
        return;
    }
    auto found = by_name_.find(tenant);
    if (found == by_name_.end()) {
        tenants_.push_front({tenant, SuffixIndex(min_match_), SuffixIndex(min_match_)});
        found = by_name_.emplace(tenant, tenants_.begin()).first;
        bytes_ += tenants_.front().bytes();
    }
    auto & [name, older, newer, policy] = use(found->second);
    bytes_ -= tenants_.front().bytes();
    document = document.last(std::min(document.size(), 2 * half_));
    for (bool separate = true; separate || !document.empty();) {
        if (newer.size() >= half_) {
            older = std::exchange(newer, SuffixIndex(min_match_));
        }
        if (separate) {
            newer.append(std::array{SuffixIndex::document_end});
            separate = false;
            continue;
        }
        const size_t n = std::min(document.size(), half_ - newer.size());
        newer.append(document.first(n));
        document = document.subspan(n);
    }
    bytes_ += tenants_.front().bytes();
    while (bytes_ > max_bytes_ && tenants_.size() > 1) {
        remove(std::prev(tenants_.end()));
    }
}

Proposal SuffixHistory::propose(std::string_view tenant, std::span<const int32_t> recent, int32_t max_tokens) {
    const auto found = by_name_.find(tenant);
    if (found == by_name_.end()) {
        return {};
    }
    const auto & [name, older, newer, policy] = use(found->second);
    auto proposal = newer.propose(recent, max_tokens);
    if (proposal.n_match < SuffixIndex::max_match) {
        auto before = older.propose(recent, max_tokens);
        if (before.n_match > proposal.n_match) {
            return before;
        }
    }
    return proposal;
}

void SuffixHistory::set_policy(std::string_view tenant, const DraftPolicy & policy) {
    if (const auto found = by_name_.find(tenant); found != by_name_.end()) {
        found->second->policy = policy;
    }
}

const DraftPolicy * SuffixHistory::policy(std::string_view tenant) const {
    const auto found = by_name_.find(tenant);
    return found != by_name_.end() && found->second->policy ? &*found->second->policy : nullptr;
}

void SuffixHistory::forget(std::string_view tenant) {
    if (const auto found = by_name_.find(tenant); found != by_name_.end()) {
        remove(found->second);
    }
}

}  // namespace shimmy
