#include "engine/step_clock.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace shimmy {
namespace {

constexpr double change_step = 0.02;   // of the cost, towards the median: a hiccup counts as little as any other step
constexpr int32_t enough_steady = 8;   // observations without a change that tell what one adds
constexpr double level_rate = 0.2;     // the level forgets in about 5 steps,
constexpr double offset_rate = 0.04;   // the shape in about 25 of that size
constexpr double most_surprise = 1.4;  // log 4: one hiccup does not count for more
constexpr double compute_bound_ratio = 1.8;  // of twice the tokens to as many

}  // namespace

bool StepClock::ready() const {
    return costs_.front().weight > 0 &&
           std::any_of(costs_.begin() + 1, costs_.end(), [](const Size & size) { return size.weight > 0; });
}

void StepClock::observe(int32_t n_tokens, double seconds) {
    if (n_tokens < 1 || n_tokens > sizes.back() || !(seconds > 0) || !std::isfinite(seconds)) {
        return;
    }
    n_single_ = n_tokens > 1 ? 0 : std::min(n_single_ + 1, most_single);
    if (std::exchange(interrupted_, false)) {
        last_ = n_tokens;
        return;
    }
    const auto above = static_cast<size_t>(std::lower_bound(sizes.begin(), sizes.end(), n_tokens) - sizes.begin());
    const double known = cost(n_tokens);
    if (std::exchange(last_, n_tokens) == n_tokens) {
        costs_[above].steady = std::min(costs_[above].steady + 1, enough_steady);
    } else if (known > 0) {
        if (costs_[above].steady == enough_steady) {
            const double step = change_step * known;
            change_ = std::max(change_ + (seconds - known > change_ ? step : -step), 0.0);
        }
        seconds -= std::min(change_, seconds / 2);
    }
    if (known == 0) {
        level_ = std::log(seconds);
    }
    // What each size costs if the curve so far has the right shape and only its height is wrong.
    const auto scaled = [&](size_t i) {
        return known > 0 ? cost(sizes[i]) * seconds / known : seconds * sizes[i] / n_tokens;
    };
    const double surprise = known > 0 ? std::clamp(std::log(seconds / known), -most_surprise, most_surprise) : 0;
    if (sizes[above] == n_tokens) {
        learn(costs_[above], 1, surprise, scaled(above));
    } else {
        const double share = static_cast<double>(n_tokens - sizes[above - 1]) / (sizes[above] - sizes[above - 1]);
        const double below_scaled = scaled(above - 1);
        const double above_scaled = scaled(above);
        learn(costs_[above - 1], 1 - share, surprise, below_scaled);
        learn(costs_[above], share, surprise, above_scaled);
    }
    fit();
}

void StepClock::learn(Size & size, double share, double surprise, double scaled) {
    if (size.weight == 0) {
        size.offset = std::log(scaled) - level_;
    } else {
        level_ += level_rate * surprise * share;
        size.offset += std::max(offset_rate, 0.5 / (size.weight + 1)) * surprise * share;
    }
    size.weight = std::min(size.weight + share, 1 / offset_rate);
}

// Pool adjacent violators: the nearest curve that never falls.
void StepClock::fit() {
    struct Pool {
        double seconds;
        double weight;
        size_t n;
    };
    std::array<Pool, sizes.size()> pools{};
    size_t n_pools = 0;
    for (const auto & size : costs_) {
        if (size.weight == 0) {
            continue;
        }
        pools[n_pools++] = {std::exp(level_ + size.offset), size.weight, 1};
        while (n_pools > 1 && pools[n_pools - 2].seconds > pools[n_pools - 1].seconds) {
            const auto & high = pools[--n_pools];
            auto & low = pools[n_pools - 1];
            low.seconds = (low.seconds * low.weight + high.seconds * high.weight) / (low.weight + high.weight);
            low.weight += high.weight;
            low.n += high.n;
        }
    }
    size_t pool = 0;
    for (auto & size : costs_) {
        if (size.weight == 0) {
            continue;
        }
        size.seconds = pools[pool].seconds;
        pool += --pools[pool].n == 0 ? 1 : 0;
    }
}

double StepClock::cost(int32_t n_tokens) const {
    double x0 = 0;  // the measured sizes around n_tokens, or the last two below it
    double y0 = 0;
    double x1 = 0;
    double y1 = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
        if (costs_[i].weight == 0) {
            continue;
        }
        x0 = x1;
        y0 = y1;
        x1 = sizes[i];
        y1 = costs_[i].seconds;
        if (sizes[i] >= n_tokens) {
            break;
        }
    }
    return x1 > x0 ? y1 + (y1 - y0) * (n_tokens - x1) / (x1 - x0) : 0;
}

bool StepClock::compute_bound(int32_t n_tokens) const {
    return ready() && cost(2 * n_tokens) >= compute_bound_ratio * cost(n_tokens);
}

}  // namespace shimmy
