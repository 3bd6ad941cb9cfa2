#pragma once
// Policy: what a sequence that has filled its context gives up, so that it can go on (context shift).

#include <algorithm>
#include <cstddef>

namespace shimmy {

// How many of `n_tokens` go, those that follow the first `n_keep`: half of what is there, but none of the last
// `n_last`, which may still be taken back or are not computed. 0: there is nothing to give.
inline size_t context_cut(size_t n_tokens, size_t n_keep, size_t n_last) {
    if (n_tokens <= n_keep + n_last) {
        return 0;
    }
    return std::min(std::max<size_t>((n_tokens - n_keep) / 2, 1), n_tokens - n_keep - n_last);
}

}  // namespace shimmy
