#include "engine/copy_cursor.h"

#include <algorithm>
#include <utility>

namespace shimmy {
namespace {

constexpr int32_t after_change = 8;  // what a place is worth, in matched tokens, when something was changed just now

bool starts_with(std::span<const int32_t> tokens, std::span<const int32_t> run) {
    return tokens.size() >= run.size() && std::equal(run.begin(), run.end(), tokens.begin());
}

}  // namespace

void CopyCursor::place(size_t next, int32_t n_match) {
    next_ = next;
    n_match_ = n_match;
    n_strange_ = 0;
}

int32_t CopyCursor::n_match() const {
    return next_ == 0 || n_strange_ > 1 ? 0 : std::min(n_match_, SuffixIndex::max_match);
}

const CopyCursor::Change * CopyCursor::change_at(std::span<const int32_t> tokens, size_t at) const {
    const auto found = std::find_if(changes_.rbegin(), changes_.rend(), [&](const Change & change) {
        return starts_with(tokens.subspan(at), change.before);
    });
    return found == changes_.rend() ? nullptr : &*found;
}

void CopyCursor::learn(Change change) {
    std::erase_if(changes_, [&](const Change & known) { return known.before == change.before; });
    changes_.push_back(std::move(change));
    if (changes_.size() > max_changes) {
        changes_.erase(changes_.begin());
    }
}

void CopyCursor::follow(std::span<const int32_t> tokens) {
    if (tokens.size() < n_seen_) {
        next_ = 0;
    } else if (n_seen_ > 0) {
        for (size_t end = n_seen_ + 1; next_ > 0 && end <= tokens.size(); ++end) {
            take(tokens, end);
        }
    }
    n_seen_ = tokens.size();
}

// The list's first `end` tokens are all there is.
void CopyCursor::take(std::span<const int32_t> tokens, size_t end) {
    if (next_ + 1 >= end) {  // changes that shorten have brought it to the list's end
        next_ = 0;
        return;
    }
    const auto last = tokens[end - 1];
    if (n_strange_ == 0 && tokens[next_] == last) {
        if (const auto * change = change_at(tokens, next_)) {  // not here
            const auto before = change->before;
            std::erase_if(changes_, [&](const Change & known) { return known.before == before; });
        }
        ++next_;
        ++n_match_;
        return;
    }
    ++n_strange_;
    if (const auto * change = change_at(tokens, next_)) {
        const auto strange = tokens.subspan(end - n_strange_, n_strange_);
        if (starts_with(change->after, strange)) {
            if (strange.size() == change->after.size()) {
                next_ += change->before.size();
                n_strange_ = 0;
                ++n_match_;
            }
            return;
        }
    }
    rejoin(tokens, end);
}

// The last token is what was soon after next_: between them lies a change.
void CopyCursor::rejoin(std::span<const int32_t> tokens, size_t end) {
    const size_t n_after = n_strange_ - 1;
    if (n_after == 0) {
        n_match_ = after_change;
        return;
    }
    for (size_t distance = 0; distance <= max_run; ++distance) {
        for (const size_t n_before : {n_after + distance, n_after - std::min(distance, n_after)}) {
            if (n_before > max_run || next_ + n_before + 1 >= end || tokens[next_ + n_before] != tokens[end - 1]) {
                continue;
            }
            const auto before = tokens.subspan(next_, n_before);
            const auto after = tokens.subspan(end - n_strange_, n_after);
            if (n_before > 0) {
                learn({{before.begin(), before.end()}, {after.begin(), after.end()}});
            }
            next_ += n_before + 1;
            n_strange_ = 0;
            n_match_ = after_change + 1;
            return;
        }
    }
    if (n_strange_ > max_run) {
        next_ = 0;
    }
}

Proposal CopyCursor::propose(std::span<const int32_t> tokens, int32_t max_tokens) const {
    Proposal proposal;
    proposal.n_match = n_match();
    if (proposal.n_match == 0) {
        return proposal;
    }
    const auto most = static_cast<size_t>(std::max(max_tokens, 0));
    size_t at = next_;
    size_t n_known = n_strange_;  // of the change that has begun
    if (n_strange_ > 0 && !change_at(tokens, at)) {
        ++at;  // one token for one
        n_known = 0;
    }
    while (proposal.tokens.size() < most) {
        if (at >= tokens.size()) {
            const size_t again = at++ - tokens.size();  // a repetition that reaches the end goes on
            if (again >= proposal.tokens.size()) {
                break;
            }
            proposal.tokens.push_back(proposal.tokens[again]);
        } else if (const auto * change = change_at(tokens, at)) {
            const auto after = std::span(change->after).subspan(std::min(n_known, change->after.size()));
            proposal.tokens.insert(proposal.tokens.end(), after.begin(), after.end());
            at += change->before.size();
        } else {
            proposal.tokens.push_back(tokens[at++]);
        }
        n_known = 0;
    }
    proposal.tokens.resize(std::min(proposal.tokens.size(), most));
    if (proposal.tokens.empty()) {
        proposal.n_match = 0;
    }
    return proposal;
}

}  // namespace shimmy
