#include "engine/cache_miss.h"

namespace shimmy {

CacheMiss classify_miss(const CacheFacts & facts) {
    if (!facts.enabled || (facts.usable == 0 && facts.n_prompt > 1)) {
        return CacheMiss::Disabled;
    }
    if (facts.reused >= facts.usable) {
        return CacheMiss::None;
    }
    if (facts.cached > facts.reused) {
        return CacheMiss::Uncuttable;
    }
    if (facts.evicted > facts.cached) {
        return CacheMiss::Evicted;
    }
    if (facts.other_adapters > facts.cached) {
        return CacheMiss::Adapters;
    }
    return facts.any || facts.cached > 0 ? CacheMiss::Diverged : CacheMiss::Empty;
}

}  // namespace shimmy
