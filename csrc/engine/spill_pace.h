#pragma once
// Policy: whether a prefix that leaves the KV cache is worth copying to host memory, by what both have cost lately.

#include <algorithm>
#include <cstdint>

namespace shimmy {

// A sequence's cells lie scattered between those of others, and on a GPU every piece is a transfer of its own: there a
// prefix can be computed again in a tenth of the time that its copy takes.
class SpillPace {
  public:
    static constexpr double uses = 0.5;  // of two saved prefixes one is asked for again
    static constexpr int32_t first_pause = 64;
    static constexpr int32_t last_pause = 4096;

    // A step that computed a prompt had `n_tokens` and took `seconds`. Ignored unless both are positive.
    void computed(int64_t n_tokens, double seconds) { update(compute_, n_tokens, seconds); }

    // Saving `n_tokens` took `seconds`; fetching them takes about as long. Likewise.
    void saved(int64_t n_tokens, double seconds) {
        update(save_, n_tokens, seconds);
        pause_ = too_dear() ? std::clamp(2 * pause_, first_pause, last_pause) : 0;
        skipped_ = 0;
    }

    // Whether to save the next one. Where it did not pay it is tried again after a pause, each time a longer one.
    bool pays() { return !too_dear() || ++skipped_ > pause_; }

  private:
    static void update(double & average, int64_t n_tokens, double seconds) {
        if (n_tokens > 0 && seconds > 0) {
            const double per_token = seconds / static_cast<double>(n_tokens);
            average = average > 0 ? (average + per_token) / 2 : per_token;
        }
    }

    bool too_dear() const { return compute_ > 0 && 2 * save_ > uses * compute_; }

    double compute_ = 0;  // seconds per token; 0: not measured
    double save_ = 0;
    int32_t pause_ = 0;
    int32_t skipped_ = 0;
};

}  // namespace shimmy
