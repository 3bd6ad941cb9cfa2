#pragma once
// For our copy of ggml-backend.cpp (cmake/own_copies.cmake). Where a graph has another shape than the last one, or a
// longer mask, ggml waits for the devices before it finds places for the new one, so that the host prepares it while
// they have nothing to do: 2.5 ms for each micro-batch of a long prompt.

#include <cstring>

#include "ggml-backend.h"

namespace shimmy {

// Whether a graph of `sched` may get its places while a device computes the last one. What the host writes is not what
// that reads: inputs lie in the host's memory, and are copied after a wait. Its kernels follow each other in a stream,
// and where buffers must grow cudaFree waits first; other backends are not known to, nor CUDA for its other devices.
template <typename Scheduler>
bool may_place_while_computing(const Scheduler & sched) {
    const int host = sched.n_backends - 1;
    if (sched.n_copies > 1 || host != 1 || std::strncmp(ggml_backend_name(sched.backends[0]), "CUDA", 4) != 0 ||
        ggml_backend_supports_buft(sched.backends[0], sched.bufts[host])) {
        return false;
    }
    for (int i = 0; i < sched.graph.n_leafs; ++i) {
        if (sched.graph.leafs[i]->flags & GGML_TENSOR_FLAG_INPUT && sched.leaf_backend_ids[i] != host) {
            return false;
        }
    }
    return true;
}

}  // namespace shimmy
