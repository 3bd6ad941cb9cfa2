#include "engine/alora.h"

#include <algorithm>

namespace shimmy {

std::optional<size_t> activation_start(std::span<const int32_t> prompt, std::span<const int32_t> invocation) {
    if (invocation.empty()) {
        return std::nullopt;
    }
    const auto found = std::find_end(prompt.begin(), prompt.end(), invocation.begin(), invocation.end());
    return found == prompt.end() ? std::nullopt : std::optional(static_cast<size_t>(found - prompt.begin()));
}

}  // namespace shimmy
