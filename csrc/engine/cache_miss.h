#pragma once
// Policy: why a prompt was not reused further.

#include <cstddef>

namespace shimmy {

enum class CacheMiss {
    None,        // all was reused that may be; the last prompt token is always computed
    Empty,       // nothing is cached for this tenant with these adapters
    Diverged,    // the next token differs from that of the best cached prefix, or that one ends
    Adapters,    // the same tokens are cached for other adapters of this tenant
    Evicted,     // it was cached, and had to give way
    Uncuttable,  // it is cached, but not to be had: the model cannot cut it there, or copying would not pay
    Disabled,    // the prefix cache is off, or the request does not allow it
};

// What is known when a request is placed; lengths are of common prefixes, within the tenant's own prefixes only.
struct CacheFacts {
    bool enabled = true;
    size_t n_prompt = 0;
    size_t usable = 0;          // of the prompt, if all were cached
    size_t reused = 0;          // of the prompt
    size_t cached = 0;          // with the same adapters, as far as usable
    size_t evicted = 0;         // known to have been cached
    size_t other_adapters = 0;  // cached for other adapter sets
    bool any = false;           // something is cached for these adapters
};

CacheMiss classify_miss(const CacheFacts & facts);

}  // namespace shimmy
