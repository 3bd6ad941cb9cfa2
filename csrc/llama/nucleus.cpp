#include "llama/nucleus.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "llama/candidate.h"
#include "llama/exponential.h"

namespace shimmy {
namespace {

constexpr size_t n_bins = 512;
constexpr double deepest = 88;  // nats below the highest at which a weight is 0

// Writes the weights of the candidates and returns their sum.
double weigh(std::vector<Candidate> & candidates, float highest) {
    double sum = 0;
    for (auto & candidate : candidates) {
        candidate.p = exp_of_negative(candidate.logit - highest);
        sum += static_cast<double>(candidate.p);
    }
    return sum;
}

// Drops all but the likeliest that reach `mass`; the weights of all together do. One pass sorts them into bins by
// their logits; only the bin in which the sum gets there is sorted.
void cut(std::vector<Candidate> & candidates, float highest, double mass, size_t min_keep) {
    float lowest = highest;
    for (const auto & candidate : candidates) {
        lowest = std::min(lowest, candidate.logit);
    }
    const double depth = std::min(deepest, static_cast<double>(highest) - static_cast<double>(lowest));
    const double per_nat = depth > 1e-6 ? n_bins / depth : 0;
    const auto bin_of = [&](const Candidate & candidate) {
        const double below = std::min(deepest, static_cast<double>(highest) - static_cast<double>(candidate.logit));
        return std::min(n_bins - 1, static_cast<size_t>(below * per_nat));
    };
    std::array<double, n_bins> masses{};
    std::array<size_t, n_bins> counts{};
    for (const auto & candidate : candidates) {
        const size_t bin = bin_of(candidate);
        masses[bin] += static_cast<double>(candidate.p);
        ++counts[bin];
    }
    double sum = 0;
    size_t count = 0;
    size_t last_bin = 0;
    while (last_bin + 1 < n_bins && (sum + masses[last_bin] < mass || count + counts[last_bin] < min_keep)) {
        sum += masses[last_bin];
        count += counts[last_bin];
        ++last_bin;
    }
    std::vector<Candidate> edge;
    std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(edge),
                 [&](const Candidate & candidate) { return bin_of(candidate) == last_bin; });
    std::sort(edge.begin(), edge.end(), likelier);
    size_t kept = 0;
    while (kept < edge.size() && (sum < mass || count < min_keep)) {
        sum += static_cast<double>(edge[kept++].p);
        ++count;
    }
    std::erase_if(candidates, [&](const Candidate & candidate) {
        const size_t bin = bin_of(candidate);
        return bin > last_bin || (bin == last_bin && (kept == 0 || likelier(edge[kept - 1], candidate)));
    });
}

}  // namespace

void keep_nucleus(LogitRow & row, double p, size_t min_keep, std::vector<Candidate> & candidates) {
    min_keep = std::clamp<size_t>(min_keep, 1, row.size());
    const double sum = row.weigh();
    const float top = row.highest();
    const float highest = top / row.temperature();
    // All tokens over a probability q hold the nucleus once together they reach p. For q = (1 - p) / n_vocab they
    // always do, as the others cannot have 1 - p; most rows are peaked, and a higher q is enough for them.
    for (const double tokens : {1024.0, 2.0 * static_cast<double>(row.size())}) {
        const double below = row.temperature() * std::log((1 - p) / tokens * sum);
        const auto threshold = static_cast<float>(std::min(0.0, below)) + top;
        row.from(std::isnan(threshold) ? -std::numeric_limits<float>::infinity() : threshold, candidates);
        if (candidates.size() < min_keep) {
            continue;
        }
        if (weigh(candidates, highest) >= p * sum) {
            cut(candidates, highest, p * sum, min_keep);
            return;
        }
    }
    row.all(candidates);
    const double mass = std::min(p * sum, weigh(candidates, highest));
    cut(candidates, highest, mass, min_keep);
}

}  // namespace shimmy
