#pragma once
// Policy: how many threads compute the next step. Pure: it sees step times and no clock.
//
// The threads of a step meet at hundreds of barriers, so one that lost its core to another process holds up all of them
// and fewer threads are faster. Which count pays cannot be known, only tried: now and then a few steps run with another
// count, and what was clearly faster stays.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace shimmy {

enum class StepKind { Decode, Prefill };  // every request computes one token, or some compute a prompt

// The policy for one kind of step.
class ThreadChoice {
  public:
    // `most` threads, at least 1; with `adaptive` off there is nothing to choose.
    ThreadChoice(int32_t most, bool adaptive);

    // For the next step.
    int32_t n_threads() const { return counts_[trial_.active ? trial_.candidate : current_]; }

    // A step took `seconds` for `n_tokens` with n_threads() threads.
    void record(int32_t n_tokens, double seconds);

  private:
    // The last steps of one size with the current count, oldest first, in seconds per token.
    struct Recent {
        std::vector<double> seconds;
        double usual = 0;  // follows their median slowly; 0: none yet
    };

    struct Trial {
        bool active = false;
        size_t candidate = 0;
        size_t wanted = 0;           // steps to compare
        std::vector<double> ratios;  // of their time to what the current count takes
        size_t steps = 0;            // run, also those of a size that nothing is known about
        double extra = 0;            // seconds spent beyond what the current count would have taken
        double excess = 0;           // the same in steps
    };

    void watch(Recent & recent, double per_token, double seconds);
    void plan_trial(bool short_steps);
    void follow_trial(const Recent * recent, double per_token, double seconds);
    void end_trial(bool adopt);
    std::vector<size_t> candidates() const;

    std::vector<int32_t> counts_;  // descending; the first is the most
    size_t current_ = 0;
    size_t turn_ = 0;  // which candidate is tried next
    Trial trial_;
    std::map<int, Recent> recent_;  // by size: the bits of n_tokens
    double slowness_ = 1;           // what the last steps took, as a multiple of what is usual
    int32_t patience_;              // steps that slowness has to wait for the next trial, doubled by each one in vain
    int32_t steps_since_ = 0;       // the last trial
    double seconds_since_ = 0;
    double pause_ = 0;  // seconds until the next trial is due
};

class ThreadGovernor {
  public:
    ThreadGovernor(int32_t n_threads, int32_t n_threads_batch, bool adaptive);

    // For the next step of that kind.
    int32_t n_threads(StepKind kind) const { return choice(kind).n_threads(); }

    // A step of `n_tokens` ran through with n_threads(kind) threads in `seconds`. Ignored unless both are positive.
    void record(StepKind kind, int32_t n_tokens, double seconds);

  private:
    const ThreadChoice & choice(StepKind kind) const { return choices_[static_cast<size_t>(kind)]; }

    std::array<ThreadChoice, 2> choices_;
};

}  // namespace shimmy
