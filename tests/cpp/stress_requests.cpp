#include "stress_requests.h"

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdlib>

#include "grammar/grammar_compiler.h"
#include "llama/tokenizer.h"

namespace shimmy {

std::string demo_data() {
    return std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/";
}

const std::shared_ptr<Model> & demo_model() {
    static const auto model = Model::load(demo_data() + "shimmy-mini.gguf");
    return model;
}

const std::vector<Token> & chat(size_t question, size_t n_turns) {
    static const std::vector<std::string> questions{"Who are you?", "What can you do?", "Count from 1 to 40.",
                                                    "Repeat after me: one two three one two three one two three"};
    static const auto chats = [] {
        const Tokenizer tokenizer(demo_model());
        std::vector<std::vector<Token>> chats;
        for (const auto & asked : questions) {
            std::string text = "<|im_start|>system\nYou are Shimmy Mini, a tiny demo model.<|im_end|>\n";
            for (size_t i = 0; i < max_turns; ++i) {
                const std::string last = "<|im_start|>user\n" + asked + "<|im_end|>\n<|im_start|>assistant\n";
                chats.push_back(tokenizer.encode(text + last, false, true));
                text += "<|im_start|>user\nShow me a fox emoji<|im_end|>\n<|im_start|>assistant\nfox<|im_end|>\n";
            }
        }
        return chats;
    }();
    return chats.at(question * max_turns + n_turns);
}

const std::vector<std::shared_ptr<const Grammar>> & grammars() {
    static const auto compiled = [] {
        std::vector<std::shared_ptr<const Grammar>> grammars;
        const char * library = std::getenv("SHIMMY_LLGUIDANCE");
        if (!library) {
            return grammars;
        }
        if (const char * python = std::getenv("SHIMMY_LIBPYTHON")) {
            REQUIRE(dlopen(python, RTLD_NOW | RTLD_GLOBAL) != nullptr);
        }
        const auto tokenizer = std::make_shared<const Tokenizer>(demo_model());
        auto vocab = std::make_shared<GrammarVocab>();
        for (Token token = 0; token < tokenizer->n_vocab(); ++token) {
            vocab->bytes.push_back(tokenizer->piece(token, true));
            vocab->special.push_back(tokenizer->is_control(token));
        }
        vocab->eog = tokenizer->eog_tokens();
        vocab->tokenize = [tokenizer](const std::string & text, bool parse_special) {
            return tokenizer->encode(text, false, parse_special);
        };
        GrammarCompiler compiler(vocab, library, {}, 0);
        for (const std::string text : {grammar_pattern, "(one|two|three)( (one|two|three)){4,9}[.]"}) {
            GrammarSpec spec;
            spec.kind = GrammarSpec::Kind::Regex;
            spec.text = text;
            grammars.push_back(compiler.compile(spec));
        }
        return grammars;
    }();
    return compiled;
}

std::string some_tenant(Random & random) {
    return std::vector<std::string>{"", "a", "b"}[below(random, 3)];
}

Request random_request(Random & random) {
    Request request;
    request.prompt = chat(below(random, 4), below(random, max_turns));
    const bool grows = one_in(random, 3);  // beyond what was free when it was admitted
    request.max_tokens = static_cast<int64_t>(grows ? 40 + below(random, 60) : below(random, 24));
    request.sampling.seed = static_cast<uint32_t>(random());
    request.sampling.temperature = one_in(random, 2) ? 0 : 1;
    if (one_in(random, 4)) {
        request.tenant = exact_tenant;
        request.sampling.temperature = 0;
        request.max_tokens = 12;
        return request;
    }
    request.prompt.resize(request.prompt.size() - below(random, 8));
    request.tenant = some_tenant(random);
    request.priority = static_cast<int32_t>(below(random, 3)) - 1;
    request.speculation = !one_in(random, 4);
    request.ignore_eos = grows || one_in(random, 4);
    request.token_healing = one_in(random, 4);
    if (one_in(random, 3)) {
        request.stop = {"tiny", "fox"};
    }
    if (one_in(random, 3)) {
        request.banned_strings = {"Shimmy", "3, 4", "am"};
    }
    if (one_in(random, 4)) {
        request.min_tokens = static_cast<int64_t>(below(random, static_cast<size_t>(*request.max_tokens) + 1));
    }
    if (one_in(random, 6)) {
        request.prompt_logprobs = static_cast<int32_t>(below(random, 3));
    }
    if (one_in(random, 6)) {
        request.logprobs = static_cast<int32_t>(below(random, 3));
    }
    if (one_in(random, 5)) {  // reaches the end of its context, more than once when it keeps much
        request.n_keep = static_cast<int64_t>(below(random, 200)) - 1;
        request.max_tokens = 100 + static_cast<int64_t>(below(random, 200));
        request.ignore_eos = true;
    }
    if (one_in(random, 8)) {
        request.deadline = 0.01 * static_cast<double>(1 + below(random, 200));
    }
    if (one_in(random, 3)) {
        request.lora = {{adapter_names[below(random, 2)], one_in(random, 2) ? 1.0 : 0.5}};
    }
    if (!grammars().empty() && one_in(random, 4)) {
        request.grammar = grammars()[below(random, grammars().size())];
        request.token_healing = false;
        request.banned_strings.clear();  // which may leave nothing to choose
    } else if (one_in(random, 4) && !request.logprobs && request.banned_strings.empty() && *request.max_tokens > 8) {
        const auto first = request.prompt.end() - 4;
        request.answered.assign(first, first + static_cast<std::ptrdiff_t>(1 + below(random, 4)));
    }
    return request;
}

}  // namespace shimmy
