#pragma once
// Random requests to the demo model, of every kind that the engine knows.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/request.h"
#include "grammar/grammar.h"
#include "llama/model.h"

namespace shimmy {

using Random = std::mt19937;

inline size_t below(Random & random, size_t n) {
    return random() % n;
}

inline bool one_in(Random & random, size_t n) {
    return below(random, n) == 0;
}

inline const std::vector<std::string> adapter_names{"pirate", "terse"};
constexpr const char * exact_tenant = "exact";  // its requests are greedy and plain: equal prompts, equal answers

std::string demo_data();
const std::shared_ptr<Model> & demo_model();

// Prompts that share beginnings; question: 0 to 3, n_turns: below max_turns.
constexpr size_t max_turns = 4;
const std::vector<Token> & chat(size_t question, size_t n_turns);

// What SHIMMY_LLGUIDANCE, the path of llguidance's library, compiles; none without it. That one needs a Python around
// it: SHIMMY_LIBPYTHON.
const std::vector<std::shared_ptr<const Grammar>> & grammars();
constexpr const char * grammar_pattern = "[a-z]{2,9}( [a-z]{2,9}){0,9}[.!]";  // of all of them

std::string some_tenant(Random & random);
Request random_request(Random & random);

}  // namespace shimmy
