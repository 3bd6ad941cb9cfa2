#include "llama/prefix_tokens.h"

#include <doctest/doctest.h>

#include "errors.h"

namespace shimmy {
namespace {

const std::string demo = std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/shimmy-mini.gguf";

std::shared_ptr<const Tokenizer> demo_tokenizer() {
    ModelParams params;
    params.vocab_only = true;
    return std::make_shared<Tokenizer>(Model::load(demo, params));
}

}  // namespace

TEST_CASE("tokens for a required start: those that a look at every token finds") {
    const auto tokenizer = demo_tokenizer();
    const PrefixTokens index(tokenizer);
    for (const std::string required : {"t", " the", " capital of", "\xF0\x9F", "\n", "\xFF", " qzqzqz", "1234", ""}) {
        std::vector<Token> expected;
        for (Token token = 0; token < tokenizer->n_vocab(); ++token) {
            const std::string piece = tokenizer->piece(token);
            if (!tokenizer->is_control(token) && !piece.empty() &&
                (piece.starts_with(required) || required.starts_with(piece))) {
                expected.push_back(token);
            }
        }
        CAPTURE(required);
        CHECK(index.tokens_for(required) == expected);
        CHECK(!expected.empty());
    }
}

TEST_CASE("healing drops what some token continues") {
    const auto tokenizer = demo_tokenizer();
    const PrefixTokens index(tokenizer);
    const auto tokens = [&](const char * text) { return tokenizer->encode(text, false); };
    for (const char * text : {"The capi", "What is th", "https:", "Hello ", "the sky is blu", "a b c d e f g"}) {
        const auto prompt = tokens(text);
        const auto plan = index.heal(prompt);
        CAPTURE(text);
        REQUIRE(plan.n_dropped < prompt.size());
        std::string dropped;
        for (size_t i = prompt.size() - plan.n_dropped; i < prompt.size(); ++i) {
            dropped += tokenizer->piece(prompt[i]);
        }
        CHECK(plan.required == dropped);
        if (plan.n_dropped > 0) {
            bool continued = false;
            for (const Token token : index.tokens_for(plan.required)) {
                continued |= tokenizer->piece(token).size() > plan.required.size();
            }
            CHECK(continued);
        }
        if (plan.n_dropped > 1) {
            CHECK(plan.required.size() < 16);
        }
    }
    CHECK(index.heal(tokens("What is th")).n_dropped >= 1);
    CHECK(index.heal(tokens("What is th")).required.ends_with("th"));
}

TEST_CASE("nothing to heal: no prompt, one token, a control token at the end") {
    const auto tokenizer = demo_tokenizer();
    const PrefixTokens index(tokenizer);
    CHECK(index.heal({}) == PrefixTokens::HealingPlan{});
    CHECK(index.heal(std::vector<Token>{tokenizer->encode("t", false)}) == PrefixTokens::HealingPlan{});
    CHECK(index.heal(tokenizer->encode("hello<|im_start|>", false)) == PrefixTokens::HealingPlan{});
    const auto after = tokenizer->encode("<|im_start|>t", false);
    REQUIRE(after.size() == 2);
    CHECK(index.heal(after) == PrefixTokens::HealingPlan{1, "t"});
    CHECK_THROWS_AS(index.heal(std::vector<Token>{1, tokenizer->n_vocab()}), InvalidRequestError);
}

}  // namespace shimmy
