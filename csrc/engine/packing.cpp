#include "engine/packing.h"

#include <algorithm>
#include <numeric>

namespace shimmy {

std::vector<size_t> pack_batch(std::span<const size_t> lengths, PackLimits limits) {
    if (lengths.empty()) {
        return {};
    }
    std::vector<size_t> batch = {0};
    if (lengths[0] >= limits.n_tokens) {
        return batch;
    }
    std::vector<size_t> others(lengths.size() - 1);
    std::iota(others.begin(), others.end(), size_t{1});
    std::stable_sort(others.begin(), others.end(), [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
    size_t room = limits.n_tokens - lengths[0];
    for (const size_t index : others) {
        if (batch.size() >= limits.n_seqs || room == 0) {
            break;
        }
        if (lengths[index] <= room) {
            batch.push_back(index);
            room -= lengths[index];
        }
    }
    return batch;
}

}  // namespace shimmy
