#pragma once
// Policy: whether the requests that decode and the prompts of others share a step.

#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/schedule.h"

namespace shimmy {

// One step reads the weights once for all. But where sequences have cells of their own, a micro-batch of llama.cpp has
// as many tokens of each as the one with the fewest: prompts are computed apart from what decodes all the same, but for
// one token of each. In turn a step is one micro-batch. And ggml's CPU attention computes 64 rows of a step together
// against every 64 cells that any of them sees (GGML_FA_TILE_Q): beside a prompt's rows a request that decodes, whose
// cells lie anywhere, makes a whole tile pay for all cells in use. From some number of cells on steps in turn are
// cheaper.
class StepMix {
  public:
    // `cells_per_decode`: so many cells in use cost as much in a tile as one decoding row costs in a step of its own,
    // see SequenceRules. 0: share always. `own_cells`: of each sequence.
    explicit StepMix(double cells_per_decode, bool own_cells = false)
        : cells_per_decode_(cells_per_decode), own_cells_(own_cells) {}

    // What the next step of this adapter set serves, with so many cells in use: in turn the prompts, and the decodes
    // that the set's last step left out. Never a kind that the set has none of.
    Serve next(std::span<const RunningView> running, AdapterSetId adapters, uint64_t n_cells) const {
        int64_t n_decoding = 0;
        bool prompts = false;
        bool apart = false;  // one of them would be
        uint64_t last_step = 0;
        uint64_t oldest_decode = UINT64_MAX;
        for (const auto & view : running) {
            if (view.adapters != adapters) {
                continue;
            }
            last_step = std::max(last_step, view.last_step);
            prompts = prompts || !view.decoding;
            apart = apart || (own_cells_ && !view.decoding && view.n_pending > 1);
            if (view.decoding) {
                ++n_decoding;
                oldest_decode = std::min(oldest_decode, view.last_step);
            }
        }
        const bool tiles = cells_per_decode_ > 0 &&
                           static_cast<double>(n_cells) >= cells_per_decode_ * static_cast<double>(n_decoding);
        if (!prompts || n_decoding == 0 || (!tiles && !apart)) {
            return Serve::Both;
        }
        return oldest_decode < last_step ? Serve::Decodes : Serve::Prompts;
    }

  private:
    double cells_per_decode_;
    bool own_cells_;
};

}  // namespace shimmy
