#pragma once
// Whether this is compiled for AVX-512 with VNNI, which small_batch.h needs.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    defined(__AVX512VNNI__)
#define SHIMMY_VNNI 1
#else
#define SHIMMY_VNNI 0
#endif
