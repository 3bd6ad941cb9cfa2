#pragma once
// Policy: how long steps serve one adapter set before another has its turn.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <utility>

#include "engine/schedule.h"

namespace shimmy {

// A step has one adapter set, and for another one llama.cpp reserves its graphs anew, which takes as long as some steps
// of a small model. So a set keeps its turn for a while; then the set whose turn ended longest ago has the next one.
class AdapterTurns {
  public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::milliseconds duration{20};  // the others' requests wait as long, or for one step

    // The set of the next step. `running` must not be empty.
    AdapterSetId next(std::span<const RunningView> running, Clock::time_point now) {
        const auto runs = [&](AdapterSetId adapters) {
            return std::any_of(running.begin(), running.end(),
                               [&](const auto & view) { return view.adapters == adapters; });
        };
        if (now - since_ < duration && runs(current_)) {
            return current_;
        }
        std::erase_if(turns_, [&](const auto & turn) { return !runs(turn.first); });
        for (const auto & view : running) {
            turns_.try_emplace(view.adapters, n_turns_);  // behind those that wait
        }
        const auto before = [&](const RunningView & a, const RunningView & b) {
            return std::pair(turns_[a.adapters], a.last_step) < std::pair(turns_[b.adapters], b.last_step);
        };
        current_ = std::min_element(running.begin(), running.end(), before)->adapters;
        since_ = now;
        turns_[current_] = ++n_turns_;
        return current_;
    }

  private:
    AdapterSetId current_ = 0;
    Clock::time_point since_{};
    uint64_t n_turns_ = 0;
    std::map<AdapterSetId, uint64_t> turns_;  // the last one of each set that runs
};

}  // namespace shimmy
