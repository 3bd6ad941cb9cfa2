#pragma once
// LoRA adapters by name, and the sets of them that requests ask for. Thread-safe.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/schedule.h"
#include "llama/lora_adapter.h"

namespace shimmy {

using AdapterSet = std::vector<std::pair<std::shared_ptr<LoraAdapter>, double>>;

class AdapterSets {
  public:
    // Make an adapter known, or replace the one of that name for later requests.
    void put(const std::string & name, std::shared_ptr<LoraAdapter> adapter);

    // Requests that use it finish with it. Throws ModelNotFoundError.
    void remove(const std::string & name);

    std::vector<std::string> names() const;

    struct Interned {
        AdapterSetId id;
        AdapterSet set;
    };

    // A set with its id. Equal sets have equal ids, the empty one has id 0, and ids are never reused, so that a prefix
    // computed with a replaced adapter is never taken for one of the new. Adapters with scale 0 are left out.
    // Throws ModelNotFoundError naming the unknown adapter and those there are, InvalidRequestError for a name given
    // twice or a scale that is no finite float.
    Interned intern(const std::vector<std::pair<std::string, double>> & lora);

    // The adapter of that name that is activated by tokens of the prompt (aLoRA), or null.
    std::shared_ptr<const LoraAdapter> activated(const std::string & name) const;

  private:
    using Key = std::vector<std::pair<const LoraAdapter *, double>>;

    void forget_sets_with(const LoraAdapter * adapter);

    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<LoraAdapter>> adapters_;
    std::map<Key, AdapterSetId> ids_;  // of sets whose adapters are all in adapters_, so that no pointer is stale
    AdapterSetId next_id_ = 1;
};

}  // namespace shimmy
