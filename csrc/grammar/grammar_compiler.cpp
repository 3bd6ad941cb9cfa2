#include "grammar/grammar_compiler.h"

#include <algorithm>

#include "errors.h"
#include "grammar/gbnf_to_lark.h"
#include "grammar/lark_check.h"
#include "grammar/regex_text.h"
#include "grammar/schema_check.h"

namespace shimmy {
namespace {

constexpr size_t max_grammar_bytes = 256U << 10;
constexpr size_t max_choices = 16'384;
constexpr size_t max_trigger_bytes = 4096;
constexpr int max_overdue_jobs = 4;
constexpr size_t max_tokenizers = 4;
constexpr size_t max_error_bytes = 400;
// What a grammar is taken to hold: lexer, rules and the states that llguidance has computed so far.
constexpr size_t grammar_bytes = 128U << 10;
constexpr size_t bytes_per_text_byte = 32;
// Of ambiguous grammars, whose rows grow with the output: a step's work grows with the square of a row, to 0.3 s at
// llguidance's 2,000 items. With these a mask takes 40 ms at most where an item takes 2 us.
constexpr size_t most_items_in_row = 250;
constexpr size_t most_items_per_step = 20'000;

struct LlgSource {
    const char * kind;
    std::string text;
};

[[noreturn]] void refuse(const GrammarSpec & spec, const std::string & what) {
    const std::string name = name_of(spec.kind);
    throw InvalidRequestError(name + " " + what, name);
}

void check_size(const GrammarSpec & spec, size_t limit) {
    if (spec.text.size() > limit) {
        refuse(spec,
               "has " + std::to_string(spec.text.size()) + " bytes, at most " + std::to_string(limit) + " are allowed");
    }
    if (spec.text.empty()) {
        refuse(spec, "is empty");
    }
}

std::string regex_of_choices(const GrammarSpec & spec) {
    size_t n_bytes = 0;
    for (const auto & choice : spec.choices) {
        n_bytes += choice.size();
    }
    if (spec.choices.empty() || spec.choices.size() > max_choices || n_bytes > max_schema_bytes) {
        refuse(spec, "has " + std::to_string(spec.choices.size()) + " entries of " + std::to_string(n_bytes) +
                         " bytes, allowed are 1 to " + std::to_string(max_choices) + " of at most " +
                         std::to_string(max_schema_bytes));
    }
    std::string regex;
    for (const auto & choice : spec.choices) {
        if (choice.find('\0') != std::string::npos) {
            refuse(spec, "holds a NUL byte");
        }
        regex += regex.empty() && &choice == &spec.choices.front() ? "(?:" : "|";
        regex += regex_of_literal(choice);
    }
    return regex + ")";
}

// What can be checked at once, before any thread is started.
void check(const GrammarSpec & spec) {
    switch (spec.kind) {
        case GrammarSpec::Kind::JsonSchema:
            check_schema(spec.text);
            break;
        case GrammarSpec::Kind::JsonObject:
        case GrammarSpec::Kind::Choice:
            break;
        case GrammarSpec::Kind::Regex:
            check_size(spec, max_pattern_bytes);
            break;
        case GrammarSpec::Kind::Lark:
            check_size(spec, max_grammar_bytes);
            check_lark(spec.text);
            break;
        case GrammarSpec::Kind::Gbnf:
            check_size(spec, max_grammar_bytes);
            break;
    }
    if (spec.text.find('\0') != std::string::npos) {
        refuse(spec, "holds a NUL byte");
    }
    if (spec.lazy == spec.triggers.empty()) {
        throw InvalidRequestError(spec.lazy ? "a lazy grammar needs a trigger" : "triggers need a lazy grammar",
                                  "triggers");
    }
    if (spec.lazy && !spec.prefill.empty()) {
        throw InvalidRequestError("a lazy grammar has no prefill", "prefill");
    }
    for (const auto & trigger : spec.triggers) {
        if (trigger.value.empty() || trigger.value.size() > max_trigger_bytes) {
            throw InvalidRequestError("a trigger must have 1 to " + std::to_string(max_trigger_bytes) + " bytes",
                                      "triggers");
        }
    }
}

LlgSource source_of(const GrammarSpec & spec, const LlgTokenizer & tokenizer) {
    switch (spec.kind) {
        case GrammarSpec::Kind::JsonSchema:
            return {"json_schema", schema_for_llg(spec.text, spec.any_whitespace)};
        case GrammarSpec::Kind::JsonObject:
            return {"json_schema", schema_for_llg(R"({"type":"object"})", spec.any_whitespace)};
        case GrammarSpec::Kind::Regex:
            return {"regex", spec.text};
        case GrammarSpec::Kind::Choice:
            return {"regex", regex_of_choices(spec)};
        case GrammarSpec::Kind::Lark:
            return {"lark", spec.text};
        case GrammarSpec::Kind::Gbnf:
            break;
    }
    return {"lark", gbnf_to_lark(spec.text, tokenizer.vocab())};
}

bool begins_with_rest(std::string_view text, std::string_view word) {
    for (size_t n = 1; n < word.size() && n <= text.size(); ++n) {
        if (text.starts_with(word.substr(word.size() - n))) {
            return true;
        }
    }
    return false;
}

std::regex pattern_of(const std::string & text) {
    try {
        return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error & error) {
        throw InvalidRequestError("the trigger \"" + text.substr(0, 80) + "\" is no pattern: " + error.what(),
                                  "triggers");
    }
}

GrammarStart start_of(const GrammarSpec & spec, const LlgTokenizer & tokenizer) {
    const GrammarVocab & vocab = tokenizer.vocab();
    GrammarStart start;
    start.lazy = spec.lazy;
    for (const auto & trigger : spec.triggers) {
        if (trigger.kind == LazyTrigger::Kind::Word) {
            start.words.push_back(trigger.value);
            continue;
        }
        if (trigger.kind == LazyTrigger::Kind::Pattern) {
            start.patterns.push_back(pattern_of(trigger.value));
            continue;
        }
        const auto found = std::find(vocab.bytes.begin(), vocab.bytes.end(), trigger.value);
        if (found == vocab.bytes.end()) {
            throw InvalidRequestError("the trigger \"" + trigger.value.substr(0, 80) + "\" is no token of the model",
                                      "triggers");
        }
        start.tokens.push_back(static_cast<int32_t>(found - vocab.bytes.begin()));
    }
    for (int32_t token = 0; spec.lazy && tokenizer.knows(token); ++token) {
        const std::string_view text = tokenizer.text_of(token);
        const auto holds = [&](const std::string & word) { return text.find(word) != std::string_view::npos; };
        const auto continues = [&](const std::string & word) { return begins_with_rest(text, word); };
        if (std::find(start.tokens.begin(), start.tokens.end(), token) != start.tokens.end() ||
            std::any_of(start.words.begin(), start.words.end(), holds)) {
            start.completing.push_back(token);
        } else if (std::any_of(start.words.begin(), start.words.end(), continues)) {
            start.continuing.push_back(token);
        }
    }
    return start;
}

// Schemas are not ambiguous, but each optional property is an item: with them llguidance's own limits stay.
void limit_work(llg::ParserLimits & limits, const GrammarSpec & spec) {
    const bool is_gbnf = spec.kind == GrammarSpec::Kind::Gbnf;
    const bool is_lark = spec.kind == GrammarSpec::Kind::Lark && spec.text.find("%json") == std::string::npos;
    if (is_gbnf || is_lark) {
        limits.max_items_in_row = std::min(limits.max_items_in_row, most_items_in_row);
        limits.step_max_items = std::min(limits.step_max_items, most_items_per_step);
    }
}

std::shared_ptr<const Grammar> compile_now(const GrammarSpec & spec, std::shared_ptr<const LlgTokenizer> tokenizer) {
    const LlgLibrary & library = tokenizer->library();
    const LlgSource source = source_of(spec, *tokenizer);
    llg::ConstraintInit init = library.constraint_init(tokenizer->handle());
    limit_work(init.limits, spec);
    LlgMatcher matcher(library.new_matcher(&init, source.kind, source.text.c_str()), FreeMatcher{&library});
    if (library.matcher_is_error(matcher.get())) {
        std::string error = library.matcher_get_error(matcher.get());
        error = error.substr(0, std::min(error.find("\n<"), max_error_bytes));
        refuse(spec, "cannot be compiled: " + error);
    }
    if (!spec.prefill.empty()) {
        const auto tokens = tokenizer->spell(spec.prefill);
        if (tokens.empty() ||
            library.matcher_validate_tokens(matcher.get(), tokens.data(), tokens.size()) !=
                static_cast<int32_t>(tokens.size()) ||
            library.matcher_consume_tokens(matcher.get(), tokens.data(), tokens.size()) != 0) {
            throw InvalidRequestError("the grammar does not begin with its prefill", "prefill");
        }
    }
    GrammarStart start = start_of(spec, *tokenizer);
    return std::make_shared<const Grammar>(spec.kind, std::move(tokenizer), std::move(matcher), std::move(start));
}

}  // namespace

GrammarCompiler::GrammarCompiler(std::shared_ptr<const GrammarVocab> vocab, const std::string & library,
                                 CompileDeadline deadline, size_t cache_bytes)
    : vocab_(std::move(vocab)), library_(LlgLibrary::open(library)), deadline_(deadline), cache_(cache_bytes) {
    tokenizer_for({});
}

size_t GrammarCompiler::n_cached() const {
    const std::lock_guard lock(mutex_);
    return cache_.size();
}

std::shared_ptr<const LlgTokenizer> GrammarCompiler::tokenizer_for(const std::vector<std::string> & preserved_tokens) {
    std::vector<int32_t> ids;
    for (size_t token = 0; !preserved_tokens.empty() && token < vocab_->bytes.size(); ++token) {
        if (vocab_->special[token] && std::find(preserved_tokens.begin(), preserved_tokens.end(),
                                                vocab_->bytes[token]) != preserved_tokens.end()) {
            ids.push_back(static_cast<int32_t>(token));
        }
    }
    const std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(tokenizers_.begin(), tokenizers_.end(), [&](const auto & entry) { return entry.first == ids; });
    if (found != tokenizers_.end()) {
        tokenizers_.splice(tokenizers_.begin(), tokenizers_, found);
    } else {
        auto tokenizer = std::make_shared<const LlgTokenizer>(library_, vocab_, ids);
        tokenizers_.emplace_front(std::move(ids), std::move(tokenizer));
        if (tokenizers_.size() > max_tokenizers) {
            tokenizers_.pop_back();
        }
    }
    return tokenizers_.front().second;
}

std::shared_ptr<const Grammar> GrammarCompiler::compile(const GrammarSpec & spec) {
    check(spec);
    const std::string key = key_of(spec);
    {
        const std::lock_guard lock(mutex_);
        if (auto found = cache_.find(key)) {
            return found;
        }
    }
    if (n_overdue_jobs() >= max_overdue_jobs) {
        throw QueueFullError("several grammars are still being compiled beyond their time: try again later");
    }
    const auto result = std::make_shared<std::shared_ptr<const Grammar>>();
    const bool done = run_with_deadline(deadline_, [result, spec, tokenizer = tokenizer_for(spec.preserved_tokens)] {
        *result = compile_now(spec, tokenizer);
    });
    if (!done) {
        refuse(spec, "takes more than " + std::to_string(deadline_.cpu.count()) +
                         " ms to compile: make it smaller or simpler");
    }
    const std::lock_guard lock(mutex_);
    cache_.insert(key, *result, grammar_bytes + bytes_per_text_byte * (spec.text.size() + spec.choices.size()));
    return *result;
}

}  // namespace shimmy
