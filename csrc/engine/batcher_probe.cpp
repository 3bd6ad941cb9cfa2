// What the first drafts are sized by: steps of several sizes, measured before the first request.

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "engine/batcher.h"

namespace shimmy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double probe_seconds = 0.5;
constexpr int probe_rounds = 7;
constexpr double patience = 0.05;     // of a request that waits already, once drafts can be sized
constexpr double short_step = 0.005;  // so that what a change of size adds counts: the second one is measured

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

void Batcher::probe() {
    if (!speculation_ || slots_.cells_used() > 0) {  // its tokens go where cached ones are
        return;
    }
    batch_.clear();
    batch_.add(0, 0, 0, true);
    context_.decode(batch_);  // the first one pages the weights in
    context_.kv_cache().seq_rm(0);
    const auto step = [&]() -> std::optional<double> {
        const auto begin = Clock::now();
        const auto status = context_.decode(batch_);
        context_.kv_cache().seq_rm(0);
        return status == DecodeStatus::Ok ? std::optional(seconds_since(begin)) : std::nullopt;
    };
    const auto start = Clock::now();
    std::map<int32_t, std::vector<double>> seconds;
    const auto over = [&] {
        return seconds_since(start) >= probe_seconds ||
               (seconds_since(start) >= patience && seconds.size() > 1 && inbox_.n_waiting() > 0);
    };
    for (int round = 0; round < probe_rounds; ++round) {
        for (const int32_t n : StepClock::probe_sizes) {
            if (over()) {
                break;
            }
            batch_.clear();
            for (Pos pos = 0; pos < std::min<Pos>(n, static_cast<Pos>(context_.n_batch())); ++pos) {
                batch_.add(0, pos, 0, true);
            }
            auto taken = step();
            if (taken && *taken < short_step) {
                taken = step();
            }
            if (taken) {
                seconds[batch_.n_tokens()].push_back(*taken);
            }
        }
    }
    for (auto & [n, measured] : seconds) {  // medians: one hiccup must not decide what drafts are thought to cost
        const auto middle = measured.begin() + static_cast<std::ptrdiff_t>(measured.size() / 2);
        std::nth_element(measured.begin(), middle, measured.end());
        speculation_->observe(n, *middle);
    }
}

}  // namespace shimmy
