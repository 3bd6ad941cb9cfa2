#pragma once
// For our copy of ggml-backend.cpp (cmake/own_copies.cmake). Where a graph has another shape than the last one, or
// longer views of the cache, ggml waits for the devices before it finds places for the new one, so that the host
// prepares it while they have nothing to do: 2 ms for each micro-batch of a long prompt.

#include <cstring>

#include "ggml-backend.h"

namespace shimmy {

// Whether a graph of `sched` can get its places while devices compute the last one. What the host writes is not what
// they read: inputs lie in its memory, and are copied after a wait. Devices' kernels follow each other in a stream, and
// cudaFree waits for all of them if there is too little memory; others than CUDA's are not known to.
template <typename Scheduler>
bool places_overlap(const Scheduler & sched) {
    const int host = sched.n_backends - 1;
    bool overlaps = sched.n_copies == 1;
    for (int i = 0; i < host && overlaps; ++i) {
        overlaps = std::strncmp(ggml_backend_name(sched.backends[i]), "CUDA", 4) == 0;
    }
    for (int i = 0; i < sched.graph.n_leafs && overlaps; ++i) {
        overlaps = !(sched.graph.leafs[i]->flags & GGML_TENSOR_FLAG_INPUT) || sched.leaf_backend_ids[i] == host;
    }
    return overlaps;
}

}  // namespace shimmy
