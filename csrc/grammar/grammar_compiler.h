#pragma once
// Specs to grammars, for one model. Thread-safe.

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grammar/compile_job.h"
#include "grammar/grammar.h"
#include "grammar/grammar_cache.h"

namespace shimmy {

class GrammarCompiler {
  public:
    // `library` is the path of llguidance's shared library. Throws ModelLoadError when it cannot be used.
    GrammarCompiler(std::shared_ptr<const GrammarVocab> vocab, const std::string & library,
                    CompileDeadline deadline = {}, size_t cache_bytes = size_t{64} << 20);

    // Blocks for at most the deadline. Throws InvalidRequestError naming the limit, keyword or line; QueueFullError
    // while several compilations are still running after their deadline.
    std::shared_ptr<const Grammar> compile(const GrammarSpec & spec);

    const std::string & version() const { return library_->version(); }
    size_t n_cached() const;

  private:
    std::shared_ptr<const LlgTokenizer> tokenizer_for(const std::vector<std::string> & preserved_tokens);

    std::shared_ptr<const GrammarVocab> vocab_;
    std::shared_ptr<const LlgLibrary> library_;
    CompileDeadline deadline_;
    mutable std::mutex mutex_;
    GrammarCache cache_;
    std::list<std::pair<std::vector<int32_t>, std::shared_ptr<const LlgTokenizer>>> tokenizers_;  // recent first
};

}  // namespace shimmy
