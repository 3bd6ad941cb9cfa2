#pragma once
// Policy: how much of a prompt one step takes while others wait for their next token.

#include <algorithm>
#include <cstdint>

#include "engine/schedule.h"

namespace shimmy {

// Steps that compute a prompt should take about so long that nobody notices a pause, whatever the machine and the
// model: the number of tokens follows from what the last such steps took.
class PrefillPace {
  public:
    // `seconds`: of a step; 0 or less: it may take `most` tokens (at least 1) always.
    PrefillPace(double seconds, int32_t most) : seconds_(seconds), most_(most) {}

    // A step that computed a prompt had `n_tokens` and took `seconds`. Ignored unless both are positive.
    void observe(int32_t n_tokens, double seconds) {
        if (n_tokens > 0 && seconds > 0) {
            const double per_token = seconds / n_tokens;
            per_token_ = per_token_ > 0 ? (per_token_ + per_token) / 2 : per_token;
        }
    }

    // Tokens for the next one: whole efficient chunks, at least one, or `most`.
    int32_t budget() const {
        if (seconds_ <= 0) {
            return most_;
        }
        const double wanted = per_token_ > 0 ? seconds_ / per_token_ : unknown;
        const auto chunks = std::max(static_cast<int32_t>(std::min<double>(wanted, most_)) / efficient_chunk, 1);
        return wanted >= most_ ? most_ : std::min(chunks * efficient_chunk, most_);
    }

  private:
    static constexpr double unknown = 128;  // tokens, before anything was measured

    double seconds_;
    int32_t most_;
    double per_token_ = 0;
};

}  // namespace shimmy
