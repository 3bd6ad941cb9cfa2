#include "llama/adaptive_p.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace shimmy {
namespace {

// The shape that llama.cpp gives the preference: a parabola around the target that turns into a line in the tails.
constexpr double width = 0.3;
constexpr double peak = 5;
constexpr double sharpness = 10;

// Writes exp(logit - highest) into `p` and returns the sum.
double weigh(llama_token_data_array & candidates) {
    float highest = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < candidates.size; ++i) {
        highest = std::max(highest, candidates.data[i].logit);
    }
    double sum = 0;
    for (size_t i = 0; i < candidates.size; ++i) {
        candidates.data[i].p = std::exp(candidates.data[i].logit - highest);
        sum += candidates.data[i].p;
    }
    return sum;
}

}  // namespace

AdaptiveP::AdaptiveP(double target, double decay) : target_(target), decay_(decay) {
    reset();
}

size_t AdaptiveP::choose(llama_token_data_array & candidates, double random) {
    const double sum = weigh(candidates);
    const double aim = std::clamp(2 * target_ - weighted_sum_ / total_weight_, 0.0, 1.0);
    std::vector<double> probabilities(candidates.size);
    for (size_t i = 0; i < candidates.size; ++i) {
        auto & candidate = candidates.data[i];
        probabilities[i] = candidate.p / sum;
        if (std::isfinite(candidate.logit)) {
            const double distance = std::abs(probabilities[i] - aim) / width;
            candidate.logit = static_cast<float>(peak - sharpness * distance * distance / (1 + distance));
        }
    }
    double left = weigh(candidates) * random;
    size_t index = 0;
    for (size_t i = 0; i < candidates.size; ++i) {
        if (candidates.data[i].p > 0) {
            index = i;
            left -= candidates.data[i].p;
            if (left < 0) {
                break;
            }
        }
    }
    chosen_ = candidates.data[index].id;
    chosen_probability_ = probabilities[index];
    return index;
}

void AdaptiveP::accept(Token token) {
    if (token == chosen_) {
        weighted_sum_ = chosen_probability_ + decay_ * weighted_sum_;
        total_weight_ = 1 + decay_ * total_weight_;
    }
    chosen_ = -1;
    accepted_.push_back({token, weighted_sum_, total_weight_});
}

void AdaptiveP::set_history(std::span<const Token> tokens) {
    size_t kept = 0;
    while (kept < tokens.size() && kept < accepted_.size() && accepted_[kept].token == tokens[kept]) {
        ++kept;
    }
    accepted_.resize(kept);
    weighted_sum_ = kept > 0 ? accepted_.back().weighted_sum : target_ / (1 - decay_);
    total_weight_ = kept > 0 ? accepted_.back().total_weight : 1 / (1 - decay_);
    for (const Token token : tokens.subspan(kept)) {
        accepted_.push_back({token, weighted_sum_, total_weight_});
    }
    chosen_ = -1;
}

void AdaptiveP::reset() {
    set_history({});
}

}  // namespace shimmy
