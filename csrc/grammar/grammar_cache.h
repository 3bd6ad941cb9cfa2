#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

namespace shimmy {

class Grammar;

// Compiled grammars by key, the least recently used dropped first. Not thread-safe.
class GrammarCache {
  public:
    explicit GrammarCache(size_t max_bytes) : max_bytes_(max_bytes) {}

    std::shared_ptr<const Grammar> find(const std::string & key);

    // `n_bytes` is what the grammar is taken to hold; the key is added to it.
    void insert(const std::string & key, std::shared_ptr<const Grammar> grammar, size_t n_bytes);

    size_t size() const { return entries_.size(); }
    size_t n_bytes() const { return n_bytes_; }

  private:
    struct Entry {
        std::string key;
        std::shared_ptr<const Grammar> grammar;
        size_t n_bytes;
    };

    size_t max_bytes_;
    size_t n_bytes_ = 0;
    std::list<Entry> entries_;  // most recently used first
    std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace shimmy
