#pragma once
// Policy: what each tenant's finished requests said, for suffix_index.h to propose again, and how drafting did in them.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/draft_policy.h"
#include "engine/suffix_index.h"

namespace shimmy {

// Used by the step thread only. A tenant never sees another's tokens.
class SuffixHistory {
  public:
    // Each tenant keeps its last n_tokens / 2 to n_tokens, as far as one fits into `max_bytes`; over `max_bytes` the
    // tenants unused for longest are forgotten. n_tokens 0: nothing is kept.
    explicit SuffixHistory(size_t n_tokens = 65536, size_t max_bytes = 64U << 20, int32_t min_match = 3);

    void append(const std::string & tenant, std::span<const int32_t> document);

    // What followed the end of `recent` in this tenant's documents; nothing crosses from one into the next.
    Proposal propose(std::string_view tenant, std::span<const int32_t> recent, int32_t max_tokens);

    // How drafting did in the request whose document was appended last. Nothing of a tenant that nothing is kept of.
    void set_policy(std::string_view tenant, const DraftPolicy & policy);
    const DraftPolicy * policy(std::string_view tenant) const;  // null: none

    void forget(std::string_view tenant);

    size_t n_tenants() const { return by_name_.size(); }
    size_t bytes() const { return bytes_; }

  private:
    // The list is kept in halves: the older one is dropped at once when the newer is full.
    struct Tenant {
        std::string name;
        SuffixIndex older;
        SuffixIndex newer;
        std::optional<DraftPolicy> policy{};

        size_t bytes() const { return older.bytes() + newer.bytes() + sizeof(Tenant) + 2 * name.size(); }
    };
    using Tenants = std::list<Tenant>;  // used last first

    Tenant & use(Tenants::iterator tenant);
    void remove(Tenants::iterator tenant);

    size_t half_;
    size_t max_bytes_;
    int32_t min_match_;
    size_t bytes_ = 0;
    Tenants tenants_;
    std::map<std::string, Tenants::iterator, std::less<>> by_name_;
};

}  // namespace shimmy
