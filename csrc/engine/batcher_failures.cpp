// What the engine survives: steps whose values are broken, and steps that could not be computed.

#include <algorithm>
#include <string>

#include "engine/batcher.h"
#include "errors.h"

namespace shimmy {
namespace {

constexpr int most_broken = 4;  // steps in a row; then the device is taken for lost

}  // namespace

// A value that is no number spreads through the cache to whoever's attention reads past it. So nothing that is cached
// can be trusted, and whose fault it is shows when each is computed by itself: that one fails.
void Batcher::start_again_alone() {
    slots_.wipe();
    if (!suspects_.empty()) {  // found
        return;
    }
    for (const size_t index : running_) {
        suspects_.insert(slots_[index].sequence->id());
    }
}

// Each sequence of the step is computed again by itself, and fails when it fails alone.
void Batcher::fail_or_repeat(const StepPlan & plan, DecodeStatus status) {
    const auto & trouble = context_.trouble();
    if (status == DecodeStatus::Failed || (status == DecodeStatus::Broken && ++n_broken_ >= most_broken)) {
        throw DecodeError("llama.cpp failed while decoding: " + trouble);
    }
    undo(plan);
    if (plan.shares.size() > 1) {
        for (const auto & share : plan.shares) {
            suspects_.insert(slots_[running_[share.index]].sequence->id());
        }
        return;
    }
    const size_t index = running_[plan.shares.front().index];
    auto & sequence = *slots_[index].sequence;
    const bool no_memory = status == DecodeStatus::NoMemory;
    suspects_.erase(sequence.id());
    auto output =
        ended(sequence, FinishReason::Failed,
              (no_memory ? "there was no memory to compute it in: " : "it could not be computed: ") + trouble);
    output.no_memory = no_memory;
    send(std::move(output));
    release(index, false);
    std::erase(running_, index);
}

}  // namespace shimmy
