#pragma once
// For loops over whole rows of logits: builds for any x86-64 compile them for newer processors as well, and take at
// load what the machine can.

#include <cstddef>  // defines __GLIBC__

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__AVX2__)
#define SHIMMY_VECTOR_CLONES __attribute__((flatten, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SHIMMY_VECTOR_CLONES
#endif
