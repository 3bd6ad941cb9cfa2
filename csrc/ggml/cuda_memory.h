#pragma once
// For our copy of ggml-cuda.cu (cmake/own_copies.cmake): want of device memory while a graph is computed is that
// graph's status. As it was written it ends the process, like every error of CUDA's.

#include <cuda_runtime.h>

#include <new>
#include <string_view>

namespace shimmy {

inline thread_local bool computes_cuda_graph = false;

// With the text of an error that CUDA reported, before the process ends for it.
inline void throw_if_no_memory(const char * message) {
    if (computes_cuda_graph && std::string_view(message) == "out of memory") {
        throw std::bad_alloc();
    }
}

// Whether there was memory for all that `compute` needed. What it asserts goes past this.
template <typename Compute>
bool has_memory_for(Compute compute) {
    struct Scope {
        Scope() { computes_cuda_graph = true; }
        ~Scope() { computes_cuda_graph = false; }
    } scope;
    try {
        compute();
        return true;
    } catch (const std::bad_alloc &) {
        static_cast<void>(cudaGetLastError());  // it does not stay
        return false;
    }
}

// End a capture that was broken off, so that the stream computes again. False: there was none.
inline bool end_capture(cudaStream_t stream) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(stream, &status) != cudaSuccess || status == cudaStreamCaptureStatusNone) {
        return false;
    }
    cudaGraph_t graph = nullptr;
    static_cast<void>(cudaStreamEndCapture(stream, &graph));
    if (graph) {
        static_cast<void>(cudaGraphDestroy(graph));
    }
    static_cast<void>(cudaGetLastError());
    return true;
}

}  // namespace shimmy
