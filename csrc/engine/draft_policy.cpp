#include "engine/draft_policy.h"

#include <algorithm>
#include <cmath>

namespace shimmy {
namespace {

constexpr double slow_decay = 0.98;
constexpr double fast_decay = 0.85;
constexpr double prior_trials = 2;
constexpr double inherited_trials = 4;
constexpr double least_gain = 1.005;  // more tokens per second than this, or the draft is not made
constexpr double probe_hope = 0.9;    // acceptance that a probe looks for

// With more sequences in a step none drafts: what one wins is little of the step, while drafts of changing lengths make
// every step another shape.
constexpr int32_t most_sharing = 8;

// Chances before anything is seen, by length of the match. Code that is edited and text that is quoted match long.
constexpr std::array<int32_t, 3> long_matches{5, 8, 16};
constexpr std::array<double, 4> first_chance{0.35, 0.5, 0.65, 0.8};
constexpr std::array<double, 4> next_chance{0.6, 0.75, 0.85, 0.9};
constexpr double model_first_chance = 0.6;
constexpr double model_next_chance = 0.7;

// 1 + x + x² + ... of n terms
double series(double x, int32_t n) {
    return x < 1 ? (1 - std::pow(x, n)) / (1 - x) : n;
}

}  // namespace

double DraftPolicy::Chance::value() const {
    return std::max(slow.hits / slow.trials, fast.hits / fast.trials);
}

void DraftPolicy::Chance::add(bool hit) {
    const auto update = [&](Average & average, double decay) {
        average = {average.hits * decay + (hit ? 1 : 0), average.trials * decay + 1};
    };
    update(slow, slow_decay);
    update(fast, fast_decay);
}

void DraftPolicy::Chance::forget(double most_trials) {
    for (auto * average : {&slow, &fast}) {
        if (average->trials > most_trials) {
            *average = {average->hits * most_trials / average->trials, most_trials};
        }
    }
}

DraftPolicy DraftPolicy::successor() const {
    auto next = *this;
    for (auto & record : next.records_) {
        record.first.forget(inherited_trials);
        record.next.forget(inherited_trials);
        record.backoff = 1;
        record.pause = 0;
    }
    return next;
}

DraftPolicy::Records DraftPolicy::prior() {
    const auto chance = [](double value) {
        const Chance::Average average{value * prior_trials, prior_trials};
        return Chance{average, average};
    };
    const auto record = [&](double first, double next) { return Record{chance(first), chance(next)}; };
    Records records{};
    for (size_t i = 0; i < n_lengths; ++i) {
        records[i] = records[n_lengths + i] = record(first_chance[i], next_chance[i]);
    }
    records.back() = record(model_first_chance, model_next_chance);
    return records;
}

size_t DraftPolicy::index_of(DraftSource source, int32_t n_match) {
    if (source == DraftSource::Model) {
        return 2 * n_lengths;
    }
    const auto length = std::upper_bound(long_matches.begin(), long_matches.end(), n_match) - long_matches.begin();
    return static_cast<size_t>(length) + (source == DraftSource::History ? n_lengths : 0);
}

double DraftPolicy::expected(const DraftOffer & offer, int32_t n_tokens) const {
    const auto & record = records_[index_of(offer.source, offer.n_match)];
    return record.first.value() * series(record.next.value(), n_tokens);
}

Draft DraftPolicy::choose(std::span<const DraftOffer> offers, const StepLoad & load, const StepClock & clock,
                          int32_t room) {
    Draft best;
    if (!clock.ready() || load.n_tokens < 1 || !(load.n_useful > 0)) {
        return best;
    }
    if (load.n_sequences > most_sharing || (clock.compute_bound(load.n_tokens) && !clock.stale())) {
        return best;
    }
    const double plain = clock.cost(load.n_tokens);
    const double per_token = plain / load.n_useful;
    // There and back, if the last step had no draft; all who decode share it, because then others draft too.
    const double changes = (clock.last() == load.n_tokens ? 2 : 1) * clock.change() / load.n_sequences;
    const auto draft_of = [&](size_t i, int32_t n) {
        const auto & offer = offers[i];
        const double extra = clock.cost(load.n_tokens + n) - plain + changes + n * offer.seconds_per_token;
        return Draft{i, n, offer.source, offer.n_match, expected(offer, n), extra / per_token};
    };
    const auto gain = [&](double accepted, double price) {
        return (load.n_useful + accepted) / (load.n_useful + price);
    };
    double best_gain = least_gain;
    for (size_t i = 0; i < offers.size(); ++i) {
        const int32_t most = std::min({offers[i].n_tokens, room, max_draft_});
        for (int32_t n = 1; n <= most; ++n) {
            const auto draft = draft_of(i, n);
            if (draft.price <= balance_ && gain(draft.expected, draft.price) > best_gain) {
                best = draft;
                best_gain = gain(draft.expected, draft.price);
            }
        }
    }
    if (best.n_tokens > 0) {
        return best;
    }
    for (size_t i = 0; i < offers.size(); ++i) {
        const int32_t most = std::min({offers[i].n_tokens, room, max_draft_});
        auto & record = records_[index_of(offers[i].source, offers[i].n_match)];
        if (most < 1 || --record.pause > 0) {
            continue;
        }
        const auto draft = draft_of(i, 1);
        if (draft.price <= balance_ && (clock.stale() || gain(probe_hope, draft.price) > least_gain)) {
            return draft;
        }
    }
    return best;
}

void DraftPolicy::observe(const Draft & draft, int32_t n_drafted, int32_t n_accepted) {
    n_drafted = std::min(n_drafted, draft.n_tokens);
    n_accepted = std::min(n_accepted, n_drafted);
    if (draft.n_tokens > 0) {
        // A model that stopped early has run once more, to see that it is not sure.
        const int32_t made = std::min(n_drafted + (draft.source == DraftSource::Model ? 1 : 0), draft.n_tokens);
        balance_ += n_accepted - draft.price * made / draft.n_tokens;
    }
    if (n_drafted > 0) {
        auto & record = records_[index_of(draft.source, draft.n_match)];
        record.first.add(n_accepted > 0);
        for (int32_t i = 1; n_accepted > 0 && i < std::min(n_accepted + 1, n_drafted); ++i) {
            record.next.add(i < n_accepted);
        }
        record.backoff = n_accepted > 0 ? 1 : std::min(2 * record.backoff, max_pause);
        record.pause = n_accepted > 0 ? 0 : record.backoff;
    }
    balance_ = std::min(balance_ + income * (1 + n_accepted), most_balance);
}

}  // namespace shimmy
