#pragma once
// Policy: where an activated LoRA takes effect (Greenewald et al. 2025, arXiv:2504.12397). Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace shimmy {

// Index of the first token of the last occurrence of `invocation` in `prompt`: the adapter applies from there on, to
// the invocation itself too, and what comes before is computed (and cached) as by the base model. None when the prompt
// does not hold it, or `invocation` is empty (an ordinary adapter applies everywhere); occurrences may overlap.
std::optional<size_t> activation_start(std::span<const int32_t> prompt, std::span<const int32_t> invocation);

}  // namespace shimmy
