#pragma once
// Policy: whether the requests that decode and the prompts of others share a step.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>

#include "engine/schedule.h"

namespace shimmy {

// One step reads the weights once for all. But ggml's CPU attention computes 64 rows of a step together against every
// 64 cells that any of them sees (GGML_FA_TILE_Q): beside a prompt's rows a request that decodes, whose cells lie
// anywhere, makes a whole tile pay for all cells in use. From some number of cells on steps in turn are cheaper.
class StepMix {
  public:
    // `cells_per_decode`: so many cells in use cost as much in a tile as one decoding row costs in a step of its own,
    // see SequenceRules. 0: share always.
    explicit StepMix(double cells_per_decode) : cells_per_decode_(cells_per_decode) {}

    // What the next step of these serves, with so many cells in use.
    Serve next(std::span<const RunningView> running, uint64_t n_cells) const {
        const auto n_decoding =
            std::count_if(running.begin(), running.end(), [](const auto & view) { return view.decoding; });
        const bool both = n_decoding > 0 && n_decoding < std::ssize(running);
        if (!both || cells_per_decode_ <= 0 ||
            static_cast<double>(n_cells) < cells_per_decode_ * static_cast<double>(n_decoding)) {
            return Serve::Both;
        }
        return served_prompts_ ? Serve::Decodes : Serve::Prompts;
    }

    // What was planned for them.
    void planned(const StepPlan & plan, std::span<const RunningView> running) {
        served_prompts_ = std::any_of(plan.shares.begin(), plan.shares.end(),
                                      [&](const auto & share) { return !running[share.index].decoding; });
    }

  private:
    double cells_per_decode_;
    bool served_prompts_ = false;
};

}  // namespace shimmy
