#pragma once
// Policy: from which source a sequence drafts, and how many tokens, so that the step's tokens per second are most.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/step_clock.h"

namespace shimmy {

enum class DraftSource { Own, History, Model };  // the sequence's own text, its tenant's earlier outputs, a draft model

// What a source has for a sequence's next tokens.
struct DraftOffer {
    DraftSource source;
    int32_t n_match = 0;           // Proposal::n_match; 0 for Model
    int32_t n_tokens = 0;          // how many it can give
    double seconds_per_token = 0;  // to make one of them, beside checking it
};

// The step, without the drafts that are asked about.
struct StepLoad {
    int32_t n_tokens = 1;     // the sequence's own token, all others, and drafts already granted
    double n_useful = 1;      // of these, how many are expected to count: of granted drafts their Draft::expected
    int32_t n_sequences = 1;  // that decode in it
};

struct Draft {
    size_t offer = 0;      // index of the offer taken
    int32_t n_tokens = 0;  // 0: none pays
    DraftSource source = DraftSource::Own;
    int32_t n_match = 0;
    double expected = 0;  // tokens of it that will be accepted
    double price = 0;     // the step's extra time, in tokens that could be had in it instead
};

// One sequence's. Acceptance is learned by source and length of the match, as the chance of the first token and that of
// each one after an accepted one. All drafts are paid from a balance of tokens: accepted drafts fill it, and so does
// `income` of all progress; a draft that the balance does not cover is not made. So text on which nothing is ever
// accepted loses at most `allowance` + `income` × its length.
class DraftPolicy {
  public:
    static constexpr double income = 0.015;
    static constexpr double allowance = 0.75;
    static constexpr double most_balance = 4;
    static constexpr int32_t max_pause = 64;  // offers passed over between two probes of what does not pay

    explicit DraftPolicy(int32_t max_draft = 16) : max_draft_(max_draft) {}

    // For the next request of the same tenant: has the balance and expects what was accepted, but is soon taught
    // otherwise. So the allowance is granted once, not to each of many short answers.
    DraftPolicy successor() const;

    // `room`: most tokens that fit, by batch, cells, context and max_tokens. None in a step that is compute-bound
    // already: a draft could then win little, and a wrong one costs a token of another sequence.
    Draft choose(std::span<const DraftOffer> offers, const StepLoad & load, const StepClock & clock, int32_t room);

    // After every decode step of the sequence: what `choose` gave (or Draft{}), how many tokens of it were in the step
    // and how many of these were accepted.
    void observe(const Draft & draft, int32_t n_drafted, int32_t n_accepted);

    double expected(const DraftOffer & offer, int32_t n_tokens) const;  // tokens that will be accepted of so many
    double balance() const { return balance_; }

  private:
    // A chance, as a long and a short decaying average: the better one counts, so that drafting begins again soon. Too
    // much hope is bounded by the balance.
    struct Chance {
        struct Average {
            double hits;
            double trials;
        };
        Average slow;
        Average fast;

        double value() const;
        void add(bool hit);
        void forget(double most_trials);  // keeps the value, of no more trials
    };
    struct Record {
        Chance first;
        Chance next;
        int32_t backoff = 1;  // the next pause
        int32_t pause = 0;    // offers still to pass over
    };
    static constexpr size_t n_lengths = 4;
    using Records = std::array<Record, 2 * n_lengths + 1>;  // own, history, by length of the match; model

    static Records prior();
    static size_t index_of(DraftSource source, int32_t n_match);

    Records records_ = prior();
    int32_t max_draft_;
    double balance_ = allowance;
};

}  // namespace shimmy
