#include "gguf/gguf_vocab.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cmath>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

namespace shimmy {
namespace {

constexpr size_t max_token_bytes = 4096;  // tries of tokens are freed by recursion, one level per byte
constexpr uint64_t max_dummy_tokens = 1ull << 24;
constexpr int64_t byte_token_type = 6;

const std::initializer_list<std::string_view> gemma4_splitters = {"gemma4", "granite-embed-multi-311m"};

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> choices) {
    return std::find(choices.begin(), choices.end(), text) != choices.end();
}

// What libllama assumes of a tokenizer before it reads the file's own ids and flags; -1: no such token.
struct TokenizerDefaults {
    int64_t bos;
    int64_t eos;
    int64_t sep;
    bool add_bos;
    bool add_eos;
    bool always_bos = false;  // whatever the file's flag says
};

std::optional<TokenizerDefaults> tokenizer_defaults(std::string_view model, std::string_view pre) {
    if (model == "llama") {
        return TokenizerDefaults{1, 2, -1, true, false};
    }
    if (model == "bert") {
        return TokenizerDefaults{101, -1, 102, true, false};
    }
    if (is_one_of(model, {"gpt2", "hybriddna", "whitespace"})) {
        const bool no_bos = is_one_of(pre, {"chatglm-bpe", "glm4", "glm5"});
        const bool add_bos = is_one_of(pre, {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral",
                                             "midm-2.0", "lfm2", "jina-v5-nano", "tekken", "chameleon"});
        return TokenizerDefaults{no_bos ? -1 : 11, 11, -1, add_bos, false, is_one_of(pre, gemma4_splitters)};
    }
    if (model == "t5") {
        return TokenizerDefaults{-1, 1, -1, false, true};
    }
    if (model == "plamo2") {
        return TokenizerDefaults{1, 2, -1, false, false};
    }
    if (model == "gemma4") {
        return TokenizerDefaults{-1, -1, -1, true, false, true};
    }
    return std::nullopt;
}

// Index of the first text that an earlier one equals. Open addressing: half a million tokens take milliseconds.
std::optional<size_t> first_duplicate(const std::vector<std::string_view> & texts) {
    const size_t mask = std::bit_ceil(2 * texts.size() + 1) - 1;
    std::vector<uint32_t> slots(mask + 1, UINT32_MAX);
    for (size_t i = 0; i < texts.size(); i++) {
        size_t slot = std::hash<std::string_view>{}(texts[i]) & mask;
        while (slots[slot] != UINT32_MAX) {
            if (texts[slots[slot]] == texts[i]) {
                return i;
            }
            slot = (slot + 1) & mask;
        }
        slots[slot] = static_cast<uint32_t>(i);
    }
    return std::nullopt;
}

class VocabCheck {
  public:
    explicit VocabCheck(const GgufFile & file)
        : file_(file),
          model_(file.string("tokenizer.ggml.model").value_or("")),
          pre_(file.string("tokenizer.ggml.pre").value_or("")) {}

    void run(const std::string & architecture) {
        if (is_one_of(model_, {"no_vocab", "none", ""})) {
            check_dummy(architecture);
            return;
        }
        if (pre_ == "whitespace" && is_one_of(model_, {"gpt2", "hybriddna"})) {
            file_.fail("tokenizer.ggml.pre", "is 'whitespace', which a '" + model_ +
                                                 "' tokenizer cannot use: convert the "
                                                 "model again");
        }
        check_tokens();
        check_parallel_array("tokenizer.ggml.scores", {GgufType::f32, GgufType::i32});
        check_parallel_array("tokenizer.ggml.token_type", {GgufType::i32});
        check_merges();
        check_special_tokens();
        check_byte_tokens();
        if (model_ == "rwkv") {
            check_rwkv();
        }
    }

  private:
    void check_dummy(const std::string & architecture) const {
        const auto key = architecture + ".vocab_size";
        if (const auto size = file_.u32(key); size && *size > max_dummy_tokens) {
            file_.fail(key, "is " + std::to_string(*size) + ", more tokens than any model has: the file is damaged");
        }
    }

    void check_tokens() {
        const char * key = "tokenizer.ggml.tokens";
        const auto * value = file_.find(key);
        if (value == nullptr) {
            file_.fail(key, "is missing although tokenizer.ggml.model is '" + model_ + "': convert the model again");
        }
        if (value->type != GgufType::array || value->element != GgufType::string || value->count == 0) {
            file_.fail(key, "must be an array of at least one string: convert the model again");
        }
        tokens_ = file_.strings(*value);
        // libllama cuts texts at a zero byte, names empty ones [EMPTY_<id>], and asserts that all differ.
        for (size_t i = 0; i < tokens_.size(); i++) {
            auto & token = tokens_[i];
            if (token.size() > max_token_bytes) {
                file_.fail(key, "has a token of " + std::to_string(token.size()) + " bytes (id " + std::to_string(i) +
                                    "), longer than any tokenizer's: the file is damaged");
            }
            token = token.substr(0, token.find('\0'));
            if (token.empty()) {
                token = empty_texts_.emplace_back("[EMPTY_" + std::to_string(i) + "]");
            }
        }
        if (const auto twin = first_duplicate(tokens_)) {
            file_.fail(key, "has the token of id " + std::to_string(*twin) + " twice: convert the model again");
        }
    }

    void check_parallel_array(const std::string & key, std::initializer_list<GgufType> elements) const {
        const auto * value = file_.find(key);
        if (value == nullptr) {
            return;
        }
        if (value->type != GgufType::array ||
            std::find(elements.begin(), elements.end(), value->element) == elements.end()) {
            file_.fail(key, "is an array of " + gguf_type_name(value->element) + " or no array, and must be one of " +
                                gguf_type_name(*elements.begin()) + ": convert the model again");
        }
        if (value->count < tokens_.size()) {
            file_.fail(key, "has " + std::to_string(value->count) + " entries for " + std::to_string(tokens_.size()) +
                                " tokens: convert the model again");
        }
        if (value->element == GgufType::f32) {
            const auto scores = file_.floats(*value);
            if (std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); })) {
                file_.fail(key, "has a score that is no number: the file is damaged");
            }
        }
    }

    void check_merges() const {
        const char * key = "tokenizer.ggml.merges";
        const auto * value = file_.find(key);
        const bool needed = is_one_of(model_, {"gpt2", "hybriddna", "whitespace", "gemma4"}) && pre_ != "kimi-k2";
        if (value == nullptr && needed) {
            file_.fail(key, "is missing although tokenizer.ggml.model is '" + model_ + "': convert the model again");
        }
        if (value != nullptr && needed && (value->type != GgufType::array || value->element != GgufType::string)) {
            file_.fail(key, "must be an array of strings: convert the model again");
        }
    }

    // The token that libllama ends up with: the file's own where it is in range, else the tokenizer's default.
    int64_t resolve(const std::string & key, int64_t fallback) const {
        const auto n_tokens = static_cast<int64_t>(tokens_.size());
        if (const auto id = file_.u32(key); id && *id < tokens_.size()) {
            return *id;
        }
        return fallback < n_tokens ? fallback : -1;
    }

    // Ids out of range are ignored by libllama, unless they leave it to add a token that there is not.
    void check_special_tokens() const {
        for (const char * name : {"bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask", "cls"}) {
            const auto key = "tokenizer.ggml." + std::string(name) + "_token_id";
            if (const auto id = file_.u32(key); id && *id >= tokens_.size() && *id != UINT32_MAX) {
                file_.fail(key, "is " + std::to_string(*id) + " and there are " + std::to_string(tokens_.size()) +
                                    " tokens: convert the model again");
            }
        }
        const auto add_bos = file_.boolean("tokenizer.ggml.add_bos_token");
        const auto add_eos = file_.boolean("tokenizer.ggml.add_eos_token");
        (void)file_.boolean("tokenizer.ggml.add_sep_token");
        const auto defaults = tokenizer_defaults(model_, pre_);
        if (!defaults) {
            return;
        }
        auto require = [&](bool added, const char * name, int64_t fallback) {
            const auto key = "tokenizer.ggml." + std::string(name) + "_token_id";
            if (added && resolve(key, fallback) < 0) {
                file_.fail(key,
                           "is missing or out of range and the tokenizer adds this token to every prompt: "
                           "convert the model again");
            }
        };
        const bool is_wordpiece = model_ == "bert";
        const bool always_bos = is_wordpiece || defaults->always_bos;
        require(always_bos || add_bos.value_or(defaults->add_bos), "bos", defaults->bos);
        require(!is_wordpiece && add_eos.value_or(defaults->add_eos), "eos", defaults->eos);
        require(is_wordpiece, "seperator", defaults->sep);
    }

    // libllama aborts when it has to write a WordPiece token as a byte.
    void check_byte_tokens() const {
        const auto * value = file_.find("tokenizer.ggml.token_type");
        if (value == nullptr || model_ != "bert") {
            return;
        }
        const auto types = file_.integers(*value);
        if (std::find(types.begin(), types.end(), byte_token_type) != types.end()) {
            file_.fail("tokenizer.ggml.token_type",
                       "has byte tokens, which a 'bert' tokenizer cannot have: convert the "
                       "model again");
        }
    }

    // Where no token matches a prefix that a longer one starts with, libllama's tokenizer never advances.
    void check_rwkv() const {
        std::bitset<256> starts;
        std::bitset<256> singles;
        for (const auto token : tokens_) {
            const auto [first, length] = unescape(token);
            if (length == 0) {
                continue;
            }
            starts.set(first);
            if (length == 1) {
                singles.set(first);
            }
        }
        const auto missing = starts & ~singles;
        if (missing.any() || !starts.test('\n')) {
            file_.fail("tokenizer.ggml.tokens",
                       "of an rwkv tokenizer lacks single-byte tokens that longer ones start "
                       "with, or the newline: convert the model again");
        }
    }

    // First byte and length of an escaped RWKV token: \t \n \r \\ \xHH.
    static std::pair<unsigned char, size_t> unescape(std::string_view text) {
        auto hex = [](char c) { return c >= 'a' ? c - 'a' + 10 : c - '0'; };
        std::pair<unsigned char, size_t> result{0, 0};
        for (size_t i = 0; i < text.size(); result.second++) {
            auto byte = static_cast<unsigned char>(text[i++]);
            if (byte == '\\') {
                if (i == text.size()) {
                    break;
                }
                const char c = text[i++];
                byte = static_cast<unsigned char>(c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c);
                if (c == 'x') {
                    if (i + 2 > text.size()) {
                        break;
                    }
                    byte = static_cast<unsigned char>((hex(text[i]) << 4) + hex(text[i + 1]));
                    i += 2;
                }
            }
            if (result.second == 0) {
                result.first = byte;
            }
        }
        return result;
    }

    const GgufFile & file_;
    std::string model_;
    std::string pre_;
    std::vector<std::string_view> tokens_;
    std::deque<std::string> empty_texts_;  // stable: tokens_ points into it
};

}  // namespace

void check_vocab(const GgufFile & file, const std::string & architecture) {
    VocabCheck(file).run(architecture);
}

}  // namespace shimmy
