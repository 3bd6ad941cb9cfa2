#include "engine/thread_governor.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace shimmy {
namespace {

// A trial is won by a median below `win`. One comes before its time when steps are slower than usual by `slow`.
constexpr double win = 0.94;
constexpr double slow = 1.25;
constexpr double very_slow = 1.6;
constexpr double drift = 0.002;  // per step: how quickly what is usual follows

// Trials in vain may cost these parts of the time: all is quiet, respectively something better may have come back.
constexpr double share_at_most = 0.004;
constexpr double share_below = 0.02;

// Seconds between two trials that may be too short for these parts, down to a half.
constexpr double pause_at_most = 15;
constexpr double pause_below = 4;

constexpr int32_t least_between = 24;    // steps between two trials without a reason
constexpr int32_t least_patience = 4;    // steps between two trials for slowness
constexpr int32_t most_patience = 1024;  // the same, when they were all in vain
constexpr int32_t patience_very_slow = 16;

// The steps that tell what is normal now. Short ones are noisy.
constexpr double short_step = 0.005;  // seconds
constexpr size_t window_short = 15;
constexpr size_t window_long = 5;

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// All of a few; of many, those that are worth telling apart.
std::vector<int32_t> counts_up_to(int32_t most) {
    std::vector<int32_t> counts;
    for (int32_t n = most; n > 0; n = n > 4 ? n - std::max(1, n / 4) : n - 1) {
        counts.push_back(n);
    }
    if (most > 4) {
        counts.insert(counts.begin() + 1, most - 1);  // leaves one core to one neighbour
        counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
    }
    return counts;
}

}  // namespace

ThreadChoice::ThreadChoice(int32_t most, bool adaptive)
    : counts_(adaptive ? counts_up_to(std::max(most, 1)) : std::vector<int32_t>{std::max(most, 1)}),
      patience_(least_patience) {}

void ThreadChoice::record(int32_t n_tokens, double seconds) {
    if (counts_.size() == 1) {
        return;
    }
    const double per_token = seconds / n_tokens;
    const int size = std::bit_width(static_cast<uint32_t>(n_tokens));
    if (trial_.active) {
        const auto found = recent_.find(size);
        follow_trial(found == recent_.end() ? nullptr : &found->second, per_token, seconds);
        return;
    }
    auto & recent = recent_[size];
    watch(recent, per_token, seconds);
    if (recent.usual > 0) {
        plan_trial(median(recent.seconds) * n_tokens < short_step);
    }
}

void ThreadChoice::watch(Recent & recent, double per_token, double seconds) {
    recent.seconds.push_back(per_token);
    const size_t window = seconds < short_step ? window_short : window_long;
    if (recent.seconds.size() > window) {
        recent.seconds.erase(recent.seconds.begin(), recent.seconds.end() - static_cast<std::ptrdiff_t>(window));
    }
    ++steps_since_;
    seconds_since_ += seconds;
    if (recent.seconds.size() < window) {
        return;
    }
    const double now = median(recent.seconds);
    if (recent.usual == 0) {
        recent.usual = now;
    } else if (now > recent.usual) {
        recent.usual *= 1 + drift;
    } else {
        recent.usual *= 1 - (now * slow < recent.usual ? 10 * drift : drift);
    }
    slowness_ = now / recent.usual;
    if (slowness_ < slow && steps_since_ > 4 * patience_) {
        patience_ = least_patience;
    }
}

void ThreadChoice::plan_trial(bool short_steps) {
    const int32_t patience = slowness_ > very_slow ? std::min(patience_, patience_very_slow) : patience_;
    const bool urgent = slowness_ > slow && current_ + 1 < counts_.size() && steps_since_ >= patience;
    const bool due = steps_since_ >= least_between && seconds_since_ >= pause_;
    if (!urgent && !due) {
        return;
    }
    auto options = candidates();
    if (urgent) {
        std::erase_if(options, [&](size_t candidate) { return candidate < current_; });
    }
    trial_ = {};
    trial_.active = true;
    trial_.candidate = options[turn_++ % options.size()];
    trial_.wanted = short_steps ? 7 : 3;
}

// Where to look for something better: all threads, one count more, one less, half as many.
std::vector<size_t> ThreadChoice::candidates() const {
    std::vector<size_t> found;
    const auto add = [&](size_t candidate) {
        if (candidate != current_ && std::find(found.begin(), found.end(), candidate) == found.end()) {
            found.push_back(candidate);
        }
    };
    if (current_ > 0) {
        add(0);
        add(current_ - 1);
    }
    if (current_ + 1 < counts_.size()) {
        add(current_ + 1);
        const auto half = std::find_if(counts_.begin(), counts_.end(),
                                       [&](int32_t count) { return count <= (counts_[current_] + 1) / 2; });
        add(half == counts_.end() ? counts_.size() - 1 : static_cast<size_t>(half - counts_.begin()));
    }
    return found;
}

void ThreadChoice::follow_trial(const Recent * recent, double per_token, double seconds) {
    ++trial_.steps;
    if (recent && recent->seconds.size() >= 3) {
        const double ratio = per_token / median(recent->seconds);
        trial_.ratios.push_back(ratio);
        trial_.extra += seconds * (1 - 1 / ratio);
        trial_.excess += ratio - 1;
    }
    const size_t needed = trial_.wanted / 2 + 1;
    const auto won = static_cast<size_t>(
        std::count_if(trial_.ratios.begin(), trial_.ratios.end(), [](double ratio) { return ratio < win; }));
    if (won >= needed) {
        end_trial(true);
    } else if (trial_.ratios.size() - won >= needed || trial_.excess >= static_cast<double>(trial_.wanted) / 3 ||
               trial_.steps >= 4 * trial_.wanted) {
        end_trial(false);
    }
}

void ThreadChoice::end_trial(bool adopt) {
    if (adopt) {
        current_ = trial_.candidate;
        recent_.clear();
        patience_ = least_patience;
        pause_ = 0;
        turn_ = 0;
    } else {
        const bool below = current_ > 0;
        const double longest = below ? pause_below : pause_at_most;
        pause_ = trial_.extra / (below ? share_below : share_at_most);
        if (pause_ > longest) {
            pause_ = std::max(longest, pause_ / 2);
        }
        if (slowness_ > slow) {
            patience_ = std::min(2 * patience_, most_patience);
        }
    }
    slowness_ = 1;
    steps_since_ = 0;
    seconds_since_ = 0;
    trial_ = {};
}

ThreadGovernor::ThreadGovernor(int32_t n_threads, int32_t n_threads_batch, bool adaptive)
    : choices_{ThreadChoice(n_threads, adaptive), ThreadChoice(n_threads_batch, adaptive)} {}

void ThreadGovernor::record(StepKind kind, int32_t n_tokens, double seconds) {
    if (n_tokens > 0 && seconds > 0) {
        choices_[static_cast<size_t>(kind)].record(n_tokens, seconds);
    }
}

}  // namespace shimmy
