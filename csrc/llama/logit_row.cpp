#include "llama/logit_row.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>

#include "llama/candidate.h"
#include "llama/exponential.h"
#include "llama/vector_clones.h"

namespace shimmy {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr size_t lanes = 16;  // of one vector, or of a few narrower ones

// The sum of `term` of each, in as many running sums as there are lanes.
template <typename Term>
float sum_of(std::span<const float> values, Term term) {
    std::array<float, lanes> sums{};
    size_t i = 0;
    for (; i + lanes <= values.size(); i += lanes) {
        for (size_t lane = 0; lane < lanes; ++lane) {
            sums[lane] += term(values[i + lane]);
        }
    }
    float sum = 0;
    for (; i < values.size(); ++i) {
        sum += term(values[i]);
    }
    for (size_t width = lanes / 2; width > 0; width /= 2) {
        for (size_t lane = 0; lane < width; ++lane) {
            sums[lane] += sums[lane + width];
        }
    }
    return sum + sums[0];
}

float highest_of(std::span<const float> values) {
    const auto higher = [](float best, float value) { return value > best ? value : best; };
    std::array<float, lanes> best;
    best.fill(-infinity);
    size_t i = 0;
    for (; i + lanes <= values.size(); i += lanes) {
        for (size_t lane = 0; lane < lanes; ++lane) {
            best[lane] = higher(best[lane], values[i + lane]);
        }
    }
    for (; i < values.size(); ++i) {
        best[0] = higher(best[0], values[i]);
    }
    for (size_t width = lanes / 2; width > 0; width /= 2) {
        for (size_t lane = 0; lane < width; ++lane) {
            best[lane] = higher(best[lane], best[lane + width]);
        }
    }
    return best[0];
}

}  // namespace

std::span<const float> LogitRow::part(size_t index) const {
    const size_t first = index * block;
    return logits_.subspan(first, std::min(block, logits_.size() - first));
}

SHIMMY_VECTOR_CLONES void LogitRow::read(std::span<const float> logits) {
    logits_ = logits;
    temperature_ = 1;
    highest_.resize((logits.size() + block - 1) / block);
    for (size_t b = 0; b < highest_.size(); ++b) {
        highest_[b] = highest_of(part(b));
    }
}

float LogitRow::highest() const {
    return highest_of(highest_);
}

Token LogitRow::best() const {
    const float top = highest();
    const auto b = static_cast<size_t>(std::find(highest_.begin(), highest_.end(), top) - highest_.begin());
    const auto values = part(b);
    return static_cast<Token>(b * block +
                              static_cast<size_t>(std::find(values.begin(), values.end(), top) - values.begin()));
}

void LogitRow::own() {
    if (copy_.empty() || logits_.data() != copy_.data()) {
        copy_.assign(logits_.begin(), logits_.end());
        logits_ = copy_;
    }
}

void LogitRow::set(Token token, float logit) {
    own();
    const auto at = static_cast<size_t>(token);
    const float before = std::exchange(copy_[at], logit);
    float & highest = highest_[at / block];
    if (logit >= highest) {
        highest = logit;
    } else if (before == highest) {
        highest = highest_of(part(at / block));
    }
}

void LogitRow::subtract(float amount) {
    own();
    for (auto & logit : copy_) {
        logit -= amount;
    }
    for (auto & logit : highest_) {
        logit -= amount;
    }
}

void LogitRow::cool(float temperature) {
    temperature_ *= temperature;
}

void LogitRow::settle() {
    if (temperature_ == 1) {
        return;
    }
    own();
    for (auto & logit : copy_) {
        logit /= temperature_;
    }
    for (auto & logit : highest_) {
        logit /= temperature_;
    }
    temperature_ = 1;
}

SHIMMY_VECTOR_CLONES double LogitRow::weigh() {
    top_ = highest();
    weight_ = 0;
    weights_.assign(highest_.size(), 0.0F);
    if (!std::isfinite(top_)) {
        return 0;
    }
    const float top = top_;
    const float scale = 1 / temperature_;
    for (size_t b = 0; b < weights_.size(); ++b) {
        if (highest_[b] > -infinity) {
            weights_[b] = sum_of(part(b), [=](float logit) { return exp_of_negative((logit - top) * scale); });
            weight_ += static_cast<double>(weights_[b]);
        }
    }
    return weight_;
}

Token LogitRow::pick(double share) const {
    double left = weight_ * share;
    size_t chosen = 0;
    for (size_t b = 0; b < weights_.size(); ++b) {
        if (weights_[b] > 0) {
            chosen = b;
            if (left <= static_cast<double>(weights_[b])) {
                break;
            }
            left -= static_cast<double>(weights_[b]);
        }
    }
    const auto values = part(chosen);
    const float scale = 1 / temperature_;
    size_t at = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        const float weight = exp_of_negative((values[i] - top_) * scale);
        if (weight > 0) {
            at = i;
            left -= static_cast<double>(weight);
            if (left <= 0) {
                break;
            }
        }
    }
    return static_cast<Token>(chosen * block + at);
}

SHIMMY_VECTOR_CLONES LogitRow::Spread LogitRow::spread() const {
    double sum = 0;
    double count = 0;
    for (size_t b = 0; b < highest_.size(); ++b) {
        sum += static_cast<double>(sum_of(part(b), [](float logit) { return logit > -infinity ? logit : 0.0F; }));
        count += static_cast<double>(sum_of(part(b), [](float logit) { return logit > -infinity ? 1.0F : 0.0F; }));
    }
    const double mean = sum / count;
    const auto middle = static_cast<float>(mean);
    double squares = 0;
    for (size_t b = 0; b < highest_.size(); ++b) {
        squares += static_cast<double>(sum_of(
            part(b), [=](float logit) { return logit > -infinity ? (logit - middle) * (logit - middle) : 0.0F; }));
    }
    return {mean, std::sqrt(squares / count)};
}

void LogitRow::all(std::vector<Candidate> & candidates) const {
    candidates.resize(logits_.size());
    for (size_t i = 0; i < logits_.size(); ++i) {
        const float logit = std::isnan(logits_[i]) ? -infinity : logits_[i];
        candidates[i] = {{static_cast<Token>(i), logit / temperature_, 0.0F}};
    }
}

void LogitRow::from(float threshold, std::vector<Candidate> & candidates) const {
    if (threshold == -infinity) {
        all(candidates);
        return;
    }
    candidates.clear();
    std::array<uint8_t, block> found;
    for (size_t b = 0; b < highest_.size(); ++b) {
        if (highest_[b] < threshold) {
            continue;
        }
        const auto values = part(b);
        size_t count = 0;
        for (size_t i = 0; i < values.size(); ++i) {
            found[count] = static_cast<uint8_t>(i);
            count += values[i] >= threshold ? 1 : 0;
        }
        for (size_t i = 0; i < count; ++i) {
            const size_t at = found[i];
            candidates.push_back({{static_cast<Token>(b * block + at), values[at] / temperature_, 0.0F}});
        }
    }
}

void LogitRow::likeliest(size_t count, std::vector<Candidate> & candidates) const {
    count = std::min(count, logits_.size());
    if (count == 0) {
        candidates.clear();
        return;
    }
    // The count-th highest of any part of the logits is not above that of all: first of the blocks' highest, which are
    // few.
    std::vector<float> values = highest_;
    if (count > values.size()) {
        values.assign(logits_.begin(), logits_.end());
        std::replace_if(values.begin(), values.end(), [](float logit) { return std::isnan(logit); }, -infinity);
    }
    const auto last = values.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(values.begin(), last, values.end(), std::greater<>());
    from(*last, candidates);
    const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(candidates.begin(), end, candidates.end(), likelier);
    candidates.resize(count);
}

}  // namespace shimmy
