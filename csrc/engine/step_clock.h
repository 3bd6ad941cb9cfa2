#pragma once
// Policy: what a step of n tokens costs on this machine, now. Learned from a probe and from every step.

#include <array>
#include <cstdint>
#include <optional>

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

    // A step took this long. Steps over 64 tokens and times that are not above 0 are ignored.
    void observe(int32_t n_tokens, double seconds);

    // One token and some larger number have been measured.
    bool ready() const;

    // So many steps have had one token only that what larger ones cost may have changed, or been measured badly.
    bool stale() const { return n_single_ >= most_single; }

    // Seconds for a step of `n_tokens` (at least 1): never falling with n_tokens, linear between the sizes measured
    // and, at the last slope, beyond them. 0 before the first observation.
    double cost(int32_t n_tokens) const;

    // The smallest step that batching does not make cheaper any more: one token more costs 0.9 to 1 times what each
    // costs already, so that drafts are lost work. nullopt: none up to 64 tokens.
    std::optional<int32_t> knee() const;

  private:
    struct Size {
        double offset = 0;
        double weight = 0;   // observations; 0: never measured
        double seconds = 0;  // the monotone fit
    };

    void learn(Size & size, double share, double surprise, double scaled);
    void fit();

    double level_ = 0;
    int32_t n_single_ = 0;  // steps since the last larger one
    std::array<Size, sizes.size()> costs_{};
};

}  // namespace shimmy
