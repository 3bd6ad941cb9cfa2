#pragma once
// What is used of llguidance's C ABI (parser/llguidance.h and ffi.rs of 1.9): layouts and signatures must match it.

#include <cstddef>
#include <cstdint>

namespace shimmy::llg {

struct Tokenizer;
struct Matcher;

// Writes at most `n_output` ids and returns how many there are. Called from any thread; must not throw.
using TokenizeFn = size_t (*)(const void * user_data, const uint8_t * bytes, size_t n_bytes, uint32_t * output,
                              size_t n_output);

struct TokenizerInitV2 {
    size_t struct_size;
    uint32_t vocab_size;
    uint32_t tok_eos;
    const uint32_t * token_lens;
    const uint8_t * token_bytes;
    const char * tokenizer_json;
    bool tokenize_assumes_string;
    TokenizeFn tokenize_fn;
    bool use_approximate_greedy_tokenize_fn;
    const void * tokenize_user_data;
    const char * const * slices;
    const uint32_t * tok_eos_extra;
    uint32_t tok_eos_extra_count;
};

struct ParserLimits {
    size_t max_items_in_row;
    uint64_t initial_lexer_fuel;
    uint64_t step_lexer_fuel;
    size_t step_max_items;
    size_t max_lexer_states;
    size_t max_grammar_size;
    bool precompute_large_lexemes;
    bool verbose_errors;
};

// Has no size field: `spare` takes what a later version may append.
struct ConstraintInit {
    const Tokenizer * tokenizer;
    uint32_t log_buffer_level;
    uint32_t log_stderr_level;
    bool ff_tokens_ok;
    bool backtrack_ok;
    ParserLimits limits;
    uint8_t spare[512];
};

static_assert(sizeof(void *) != 8 || sizeof(TokenizerInitV2) == 96);
static_assert(sizeof(void *) != 8 || offsetof(ConstraintInit, limits) == 24);
static_assert(sizeof(void *) != 8 || sizeof(ParserLimits) == 56);

}  // namespace shimmy::llg
