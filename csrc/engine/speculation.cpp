#include "engine/speculation.h"

#include <algorithm>
#include <utility>

namespace shimmy {

namespace {

// All that the first source has.
Draft everything(std::span<const DraftOffer> offers, int32_t room) {
    Draft draft;
    if (!offers.empty()) {
        draft = {0, std::min(offers.front().n_tokens, room), offers.front().source, offers.front().n_match};
    }
    return draft;
}

}  // namespace

Speculation::Speculation(int32_t max_draft, bool adaptive, std::unique_ptr<DraftModel> model)
    : max_draft_(max_draft), adaptive_(adaptive), model_(std::move(model)) {}

// What follows the longest match in the sequence's own text, with the changes that its copy made so far.
Proposal Speculation::look_up_own(Sequence & sequence, int32_t room) {
    auto & drafts = *sequence.drafts();
    auto own = drafts.index.propose(room);
    drafts.cursor.follow(sequence.history());
    if (own.n_match > drafts.cursor.n_match()) {
        drafts.cursor.place(own.source, own.n_match);
    }
    auto copied = drafts.cursor.propose(sequence.history(), room);
    return copied.tokens.empty() ? own : copied;
}

Proposal Speculation::look_up(Sequence & sequence, DraftSource & source) {
    const int32_t room = std::min(sequence.draft_room(), max_draft_);
    auto own = look_up_own(sequence, room);
    source = DraftSource::Own;
    if (own.n_match == SuffixIndex::max_match) {
        return own;
    }
    const auto & tokens = sequence.tokens();
    const size_t n_recent = std::min<size_t>(tokens.size(), SuffixIndex::max_match);
    auto earlier = history_.propose(sequence.tenant(), std::span(tokens).last(n_recent), room);
    if (earlier.n_match <= own.n_match) {
        return own;
    }
    source = DraftSource::History;
    return earlier;
}

void Speculation::propose(std::span<const Candidate> candidates, int32_t n_tokens, int32_t n_decoding,
                          int32_t n_outputs) {
    StepLoad load{n_tokens, static_cast<double>(n_decoding), n_decoding};
    asked_.clear();
    for (const auto & candidate : candidates) {
        auto & drafts = *candidate.sequence->drafts();
        drafts.draft = {};
        drafts.tokens.clear();
        if (!std::exchange(drafts.begun, true)) {
            if (const auto * earlier = history_.policy(candidate.sequence->tenant())) {
                drafts.policy = earlier->successor();
            }
        }
        const int32_t room = std::min(candidate.sequence->draft_room(), n_outputs);
        if (room < 1) {
            continue;
        }
        DraftSource source{};
        auto proposal = look_up(*candidate.sequence, source);
        const auto ends = [&](Token token) { return candidate.sequence->is_end(token); };
        proposal.tokens.erase(std::find_if(proposal.tokens.begin(), proposal.tokens.end(), ends),
                              proposal.tokens.end());  // nothing follows an end
        std::vector<DraftOffer> offers;
        if (!proposal.tokens.empty()) {
            offers.push_back({source, proposal.n_match, static_cast<int32_t>(proposal.tokens.size())});
        }
        if (model_) {
            offers.push_back({DraftSource::Model, 0, room, model_->clock().cost(1)});
        }
        drafts.draft = adaptive_ ? drafts.policy.choose(offers, load, clock_, room) : everything(offers, room);
        if (drafts.draft.n_tokens == 0) {
            continue;
        }
        load.n_tokens += drafts.draft.n_tokens;
        load.n_useful += drafts.draft.expected;
        n_outputs -= drafts.draft.n_tokens;
        if (drafts.draft.source == DraftSource::Model) {
            asked_.push_back(candidate);
        } else {
            proposal.tokens.resize(static_cast<size_t>(drafts.draft.n_tokens));
            candidate.sequence->keep_allowed(proposal.tokens);
            drafts.tokens = std::move(proposal.tokens);
        }
    }
    if (!asked_.empty()) {
        ask_model();
    }
}

void Speculation::ask_model() {
    std::vector<DraftJob> jobs;
    for (const auto & [slot, sequence] : asked_) {
        jobs.push_back({slot, sequence->tokens(), sequence->drafts()->draft.n_tokens});
    }
    try {
        model_->draft(jobs);
    } catch (const std::exception &) {
        model_.reset();  // the target can do without
        return;
    }
    for (size_t i = 0; i < asked_.size(); ++i) {
        asked_[i].sequence->keep_allowed(jobs[i].proposal);
        asked_[i].sequence->drafts()->tokens = std::move(jobs[i].proposal);
    }
}

void Speculation::remember(const Sequence & sequence) {
    history_.append(sequence.tenant(), sequence.answer());
    if (const auto * drafts = sequence.drafts(); drafts != nullptr && drafts->begun) {
        history_.set_policy(sequence.tenant(), drafts->policy);
    }
}

void Speculation::forget(size_t slot) {
    if (!model_) {
        return;
    }
    try {
        model_->forget(slot);
    } catch (const std::exception &) {
        model_.reset();
    }
}

}  // namespace shimmy
