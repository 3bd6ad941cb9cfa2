#include "llama/text_cuts.h"

#include <doctest/doctest.h>

#include <deque>
#include <random>
#include <string>

using namespace shimmy;

namespace {

SpecialTexts specials_of(std::initializer_list<std::string_view> texts) {
    SpecialTexts specials;
    for (const auto text : texts) {
        specials.add(text, true);
    }
    return specials;
}

std::string repeated(std::string_view text, size_t n) {
    std::string whole;
    for (size_t i = 0; i < n; ++i) {
        whole += text;
    }
    return whole;
}

size_t longest(const std::vector<TextPiece> & pieces) {
    size_t stretch = 0;
    for (const auto & piece : pieces) {
        stretch = std::max(stretch, piece.longest_stretch);
    }
    return stretch;
}

// The pieces, which must be the text. They are views of it: it is kept.
std::vector<TextPiece> cut(std::string whole_text, const CutRules & rules, const SpecialTexts & specials = {},
                           bool parse_special = true) {
    static std::deque<std::string> kept;
    const auto & text = kept.emplace_back(std::move(whole_text));
    auto pieces = cut_text(text, rules, specials, parse_special);
    std::string whole;
    for (const auto & piece : pieces) {
        whole += piece.text;
    }
    REQUIRE(whole == text);
    return pieces;
}

}  // namespace

TEST_CASE("a short text is one piece, and so is none") {
    const auto rules = cut_rules("gpt2", "tekken");
    CHECK(cut("", rules).size() == 1);
    CHECK(cut("hello\nworld", rules).size() == 1);
}

TEST_CASE("a long text is cut between a letter and a newline") {
    const auto pieces = cut(repeated("some words, and a line\n", 10000), cut_rules("gpt2", "tekken"));
    CHECK(pieces.size() == 4);
    for (size_t i = 1; i < pieces.size(); ++i) {
        CHECK(pieces[i].text.starts_with("\n"));
        CHECK(pieces[i - 1].text.ends_with("line"));
    }
    CutRules none = cut_rules("gpt2", "tekken");
    none.at_newlines = false;
    CHECK(cut(repeated("some words, and a line\n", 10000), none).size() == 1);
}

TEST_CASE("many special tokens are cut apart, only when they are looked for") {
    const auto specials = specials_of({"<|end|>", "<|en"});
    const auto rules = cut_rules("llama", "");
    const auto text = repeated("<|end|>", 2000);
    const auto pieces = cut(text, rules, specials);
    CHECK(pieces.size() == 4);
    for (const auto & piece : pieces) {
        CHECK(piece.text.starts_with("<|end|>"));
        CHECK(piece.text.ends_with("<|end|>"));
    }
    CHECK(cut(text, rules, specials, false).size() == 1);
}

TEST_CASE("no cut where special tokens overlap: which of them is found is not certain") {
    CHECK(cut(repeated("ab", 2000), cut_rules("llama", ""), specials_of({"aba", "ba"})).size() == 1);
    CHECK(cut(repeated("\n", 2000), cut_rules("llama", ""), specials_of({"\n", "\n\n"})).size() == 1);
    CHECK(cut(repeated("\n", 2000), cut_rules("llama", ""), specials_of({"\n"})).size() > 1);
}

TEST_CASE("no cut inside a special token") {
    for (const auto & piece :
         cut(repeated("<line\nbreak> word\nword", 20000), cut_rules("gpt2", "gpt-2"), specials_of({"<line\nbreak>"}))) {
        CHECK_FALSE(piece.text.starts_with("\nbreak"));
    }
}

TEST_CASE("a stretch is bounded by the pre-tokenizer's way of matching") {
    const auto recursive = cut_rules("gpt2", "tekken");
    const auto linear = cut_rules("gpt2", "qwen2");
    for (const std::string_view character : {"A", " ", "\n", "!", "1", "é", "一", "🦊", "\u3000"}) {
        const auto text = repeated(character, 100000);
        CHECK(longest(cut(text, recursive)) == 32768);
        CHECK(cut(text, linear).size() == 1);
        CHECK(longest(cut(text, linear)) == 100000);
        CHECK(cut(text, cut_rules("llama", "")).size() == 1);
    }
    CHECK(cut(repeated("word ", 40000), recursive).size() == 1);
    CHECK(longest(cut(repeated("word ", 40000), recursive)) == 4);
    CHECK(longest(cut(repeated("word ", 40000), cut_rules("gpt2", "exaone-moe"))) == 32768);
    CHECK(longest(cut(repeated(" \u00A0", 200), recursive)) == 400);
}

TEST_CASE("digits are cut in threes from the right, white space in blocks from the left") {
    for (size_t n : {1, 59, 60, 61, 1000, 5000}) {
        for (const auto & piece : cut(std::string("a").append(n, '7').append("b"), cut_rules("gpt2", "superbpe"))) {
            const auto digits = piece.text.size() - (piece.text.starts_with("a") ? 1 : 0) - piece.text.ends_with("b");
            CHECK((digits <= 60 && (digits % 3 == 0 || piece.text.starts_with("a"))));
        }
    }
    const auto blocks = cut(std::string("a").append(50000, ' ').append("b"), cut_rules("gpt2", "jais-2"));
    CHECK(blocks.size() == 7);
    CHECK(blocks[1].text.size() == 8192);
    CHECK(cut(std::string("a").append(30000, ' ').append("\nb"), cut_rules("gpt2", "jais-2")).size() == 1);
}

TEST_CASE("any text: whole, within bounds, no character divided") {
    const std::string_view parts[] = {"A", "b ", " ", "\n", "\u3000", "é", "🦊", "12", "<x>", "<x", "x>y", "\r\n"};
    std::mt19937 random(5);
    const auto specials = specials_of({"<x>", "x>y", "A"});
    for (int round = 0; round < 300; ++round) {
        std::string text;
        while (text.size() < 3000) {
            text += repeated(parts[random() % std::size(parts)], 1 + random() % 60);
        }
        CutRules rules = cut_rules("gpt2", round % 2 ? "superbpe" : "jais-2");
        rules.max_stretch = 100;
        for (const auto & piece : cut(text, rules, specials)) {
            CHECK((static_cast<unsigned char>(piece.text[0]) & 0xC0) != 0x80);
            CHECK(piece.longest_stretch <= 102);
        }
    }
}
