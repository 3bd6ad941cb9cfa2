#pragma once
// Force-included into ggml.c (see cmake/llama.cmake).
//
// The KV cache is read in rows of 1 to 4 KiB that lie a page or more apart, so with 4 KiB pages nearly every row costs
// a TLB miss. Large allocations are aligned to 2 MiB and marked for transparent huge pages, which most distributions
// grant only where asked for ("madvise"). Small ones are not: of a buffer that is touched in part all would be
// resident.
#if defined(__linux__)
#include <stdlib.h>
#include <sys/mman.h>

static inline int shimmy_posix_memalign(void ** memory, size_t alignment, size_t size) {
    enum { HUGE_PAGE = 2 << 20, LARGE = 32 * HUGE_PAGE };
    if (size < LARGE) {
        return posix_memalign(memory, alignment, size);
    }
    const int error = posix_memalign(memory, HUGE_PAGE, size);
    if (error == 0) {
        madvise(*memory, size, MADV_HUGEPAGE);  // refused by kernels without them: then the pages are small
    }
    return error;
}

#define posix_memalign shimmy_posix_memalign
#endif
