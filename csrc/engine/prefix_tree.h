#pragma once
// Policy: which cached token lists begin like a prompt. A radix tree over (space, tokens); it knows no model.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/schedule.h"

namespace shimmy {

// Prefixes are shared within one space only: KV cells depend on the adapters, and tenants must not notice each other.
struct CacheSpace {
    std::string tenant;
    AdapterSetId adapters = 0;

    auto operator<=>(const CacheSpace &) const = default;
};

// Holders (slots, entries of the host tier) have one token list each. append costs O(1) per token, amortised; match
// costs the length of the common prefix and the number of holders that have it.
class PrefixTree {
  public:
    using Holder = uint32_t;

    PrefixTree();
    ~PrefixTree();
    PrefixTree(const PrefixTree &) = delete;
    PrefixTree & operator=(const PrefixTree &) = delete;

    void set(Holder holder, const CacheSpace & space, std::span<const int32_t> tokens);  // replaces its list
    void append(Holder holder, std::span<const int32_t> tokens);                         // to a list that was set
    void truncate(Holder holder, size_t n);  // to its first n tokens, if it has more
    void erase(Holder holder);               // unknown ones are ignored

    bool contains(Holder holder) const { return places_.contains(holder); }
    size_t size(Holder holder) const;  // tokens; 0 for unknown ones
    std::vector<int32_t> tokens(Holder holder) const;
    bool has(const CacheSpace & space) const;  // any token

    struct End {
        Holder holder;
        size_t n;  // its whole list
    };

    struct Match {
        size_t n = 0;                 // the longest common prefix with any list of the space
        std::vector<Holder> holders;  // all that have it; empty when n is 0
        std::vector<End> ends;        // those whose whole list is a prefix of `tokens`, shortest first
    };
    Match match(const CacheSpace & space, std::span<const int32_t> tokens) const;

    // The longest common prefix in the tenant's other spaces.
    size_t match_other_adapters(const CacheSpace & space, std::span<const int32_t> tokens) const;

  private:
    struct Node;

    // The end of a holder's list: `offset` tokens into the label of `node`, which may go on.
    struct Place {
        CacheSpace space;
        Node * node;
        size_t offset;
        size_t size;
    };

    static size_t descend(const Node & root, std::span<const int32_t> tokens);
    void move(Holder holder, Place & place, Node * node, size_t offset);
    void split(Node * node, size_t offset);
    void merge_child(Node * node);
    void prune(Node * node);
    void step(Holder holder, Place & place, int32_t token);

    std::map<CacheSpace, std::unique_ptr<Node>> roots_;
    std::unordered_map<Holder, Place> places_;
};

}  // namespace shimmy
