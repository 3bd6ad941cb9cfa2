#pragma once
// Policy: how fast something goes lately.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace shimmy {

// Tokens per second over about the last two seconds of work: what came before fades away.
class RateMeter {
  public:
    // `n_tokens` took `seconds`. Seconds in which tokens were waited for in vain count with the next ones; waiting for
    // nothing is no slowness, and not to be told.
    void record(uint64_t n_tokens, double seconds) {
        waited_ += std::max(seconds, 0.0);
        if (n_tokens == 0 || waited_ == 0) {
            return;
        }
        const double fade = std::exp(-waited_ / window);
        tokens_ = tokens_ * fade + static_cast<double>(n_tokens);
        seconds_ = seconds_ * fade + std::exchange(waited_, 0.0);
    }

    // 0 before anything was recorded.
    double per_second() const { return seconds_ > 0 ? tokens_ / seconds_ : 0; }

  private:
    static constexpr double window = 2.0;  // seconds

    double waited_ = 0;  // since the last tokens
    double tokens_ = 0;
    double seconds_ = 0;
};

}  // namespace shimmy
