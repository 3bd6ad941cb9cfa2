#pragma once
// Policy: how fast something goes lately.

#include <cmath>
#include <cstdint>

namespace shimmy {

// Tokens per second over about the last two seconds of work: what came before fades away.
class RateMeter {
  public:
    // `n_tokens` took `seconds`. Ignored unless both are positive: waiting is no slowness.
    void record(uint64_t n_tokens, double seconds) {
        if (n_tokens == 0 || !(seconds > 0)) {
            return;
        }
        const double fade = std::exp(-seconds / window);
        tokens_ = tokens_ * fade + static_cast<double>(n_tokens);
        seconds_ = seconds_ * fade + seconds;
    }

    // 0 before anything was recorded.
    double per_second() const { return seconds_ > 0 ? tokens_ / seconds_ : 0; }

  private:
    static constexpr double window = 2.0;  // seconds

    double tokens_ = 0;
    double seconds_ = 0;
};

}  // namespace shimmy
