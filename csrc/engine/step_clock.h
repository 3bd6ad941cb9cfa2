#pragma once
// Policy: what a step of n tokens costs on this machine, now. Learned from a probe and from every step.

#include <array>
#include <cstdint>

namespace shimmy {

// The logarithm of the cost is a level, which follows the machine's load within a few steps and moves all sizes at
// once, plus a slowly learned offset per size: a step that was slow because the machine is busy makes drafts neither
// cheaper nor dearer.
class StepClock {
  public:
    static constexpr std::array<int32_t, 12> sizes{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};

    static constexpr int32_t most_single = 500;

    // What a start-up probe measures, in this order until its time is up: a few steps of each of these numbers of
    // tokens, all with outputs. The first two make it ready.
    static constexpr std::array<int32_t, 5> probe_sizes{1, 8, 4, 2, 16};

    // A step took this long, after the one observed before it. Steps over 64 tokens and times that are not above 0 are
    // ignored.
    void observe(int32_t n_tokens, double seconds);

    // A step of another kind came between. The next one teaches nothing: its data has to come back into the caches,
    // which no change of size costs.
    void interrupted() {
        last_ = 0;
        interrupted_ = true;
    }

    // One token and some larger number have been measured.
    bool ready() const;

    // So many steps have had one token only that what larger ones cost may have changed, or been measured badly.
    bool stale() const { return n_single_ >= most_single; }

    // Seconds for a step of `n_tokens` (at least 1): never falling with n_tokens, linear between the sizes measured
    // and, at the last slope, beyond them. 0 before the first observation.
    double cost(int32_t n_tokens) const;

    // Seconds that a step takes longer when the one before had another number of tokens: its graph is built, and on a
    // GPU captured, anew.
    double change() const { return change_; }

    // Tokens of the step observed last; 0: none.
    int32_t last() const { return last_; }

    // Whether batching makes tokens hardly cheaper any more: twice `n_tokens` (at least 1) cost 1.8 times as much or
    // more. The secant is asked because kernels compute rows in fours: the slope at one size says little.
    bool compute_bound(int32_t n_tokens) const;

  private:
    struct Size {
        double offset = 0;
        double weight = 0;   // observations; 0: never measured
        double seconds = 0;  // the monotone fit
        int32_t steady = 0;  // observations after a step of the same size
    };

    void learn(Size & size, double share, double surprise, double scaled);
    void fit();

    double level_ = 0;
    double change_ = 0;
    int32_t last_ = 0;
    bool interrupted_ = false;
    int32_t n_single_ = 0;  // steps since the last larger one
    std::array<Size, sizes.size()> costs_{};
};

}  // namespace shimmy
