#include "grammar/llg_tokenizer.h"

#include <algorithm>

#include "errors.h"

namespace shimmy {
namespace {

// llguidance tells special tokens from text by this first byte (docs/special_tokens.md).
constexpr char special_marker = '\xff';

size_t tokenize_for_llg(const void * user_data, const uint8_t * bytes, size_t n_bytes, uint32_t * output,
                        size_t n_output) {
    try {
        const auto & self = *static_cast<const LlgTokenizer *>(user_data);
        const auto tokens = self.tokenize({reinterpret_cast<const char *>(bytes), n_bytes});
        std::copy_n(tokens.begin(), std::min(tokens.size(), n_output), output);
        return tokens.size();
    } catch (...) {
        return 0;  // nothing is forced then; an exception must not pass through Rust
    }
}

}  // namespace

LlgTokenizer::LlgTokenizer(std::shared_ptr<const LlgLibrary> library, std::shared_ptr<const GrammarVocab> vocab,
                           std::span<const int32_t> text_tokens)
    : library_(std::move(library)), vocab_(std::move(vocab)) {
    const size_t n_vocab = vocab_->bytes.size();
    if (n_vocab == 0 || vocab_->special.size() != n_vocab || vocab_->eog.empty()) {
        throw InvalidRequestError("the model has no end-of-generation token, so structured output could not end");
    }
    is_text_.resize(n_vocab);
    is_eog_.resize(n_vocab);
    for (const int32_t token : vocab_->eog) {
        is_eog_.at(static_cast<size_t>(token)) = true;
    }
    for (size_t token = 0; token < n_vocab; ++token) {
        is_text_[token] = !vocab_->special[token] && !is_eog_[token];
    }
    for (const int32_t token : text_tokens) {
        if (!knows(token)) {
            throw InvalidRequestError("token " + std::to_string(token) + " is not in the vocabulary", "text_tokens");
        }
        parse_special_ |= vocab_->special[static_cast<size_t>(token)];
        is_text_[static_cast<size_t>(token)] = !is_eog(token);
    }

    std::vector<uint32_t> lengths(n_vocab);
    std::string bytes;
    for (size_t token = 0; token < n_vocab; ++token) {
        const std::string & text = vocab_->bytes[token];
        const size_t start = bytes.size();
        if (!is_text_[token]) {
            bytes += special_marker;
            bytes += text.empty() ? std::string("<").append(std::to_string(token)).append(">") : text;
        } else {
            bytes += text;
            by_text_.emplace(text, static_cast<uint32_t>(token));
            longest_ = std::max(longest_, text.size());
        }
        lengths[token] = static_cast<uint32_t>(bytes.size() - start);
    }
    const std::vector<uint32_t> more_eog(vocab_->eog.begin() + 1, vocab_->eog.end());

    llg::TokenizerInitV2 init{};
    init.struct_size = sizeof(init);
    init.vocab_size = static_cast<uint32_t>(n_vocab);
    init.tok_eos = static_cast<uint32_t>(vocab_->eog.front());
    init.token_lens = lengths.data();
    init.token_bytes = reinterpret_cast<const uint8_t *>(bytes.data());
    init.tokenize_assumes_string = true;
    init.tokenize_fn = tokenize_for_llg;
    init.tokenize_user_data = this;
    init.tok_eos_extra = more_eog.empty() ? nullptr : more_eog.data();
    init.tok_eos_extra_count = static_cast<uint32_t>(more_eog.size());
    char error[512] = "";
    handle_ = library_->new_tokenizer_v2(&init, error, sizeof(error));
    if (handle_ == nullptr) {
        throw Error(std::string("the vocabulary cannot be used for structured output: ") + error);
    }
}

LlgTokenizer::~LlgTokenizer() {
    library_->free_tokenizer(handle_);
}

std::string_view LlgTokenizer::text_of(int32_t token) const {
    return is_text(token) ? std::string_view(vocab_->bytes[static_cast<size_t>(token)]) : std::string_view();
}

std::vector<uint32_t> LlgTokenizer::spell(std::string_view bytes) const {
    std::vector<uint32_t> tokens;
    for (size_t at = 0; at < bytes.size();) {
        size_t n = std::min(longest_, bytes.size() - at);
        auto found = by_text_.end();
        while (n > 0 && (found = by_text_.find(bytes.substr(at, n))) == by_text_.end()) {
            --n;
        }
        if (n == 0) {
            return {};
        }
        tokens.push_back(found->second);
        at += n;
    }
    return tokens;
}

bool LlgTokenizer::makes_up(std::span<const int32_t> tokens, std::string_view bytes) const {
    for (const int32_t token : tokens) {
        if (!knows(token) || !is_text(token) || !bytes.starts_with(text_of(token))) {
            return false;
        }
        bytes.remove_prefix(text_of(token).size());
    }
    return bytes.empty();
}

std::vector<uint32_t> LlgTokenizer::tokenize(std::string_view bytes) const {
    const std::string text(bytes);
    for (const bool parse_special : {parse_special_, false}) {
        const auto tokens = vocab_->tokenize(text, parse_special);
        if (makes_up(tokens, bytes)) {
            return {tokens.begin(), tokens.end()};
        }
        // SentencePiece vocabularies put a space before the first word: hide behind a line break.
        const auto after = vocab_->tokenize("\n" + text, parse_special);
        for (size_t i = 1; i < std::min<size_t>(after.size(), 4); ++i) {
            const std::span<const int32_t> rest = std::span(after).subspan(i);
            if (makes_up(rest, bytes)) {
                return {rest.begin(), rest.end()};
            }
        }
        if (!parse_special_) {
            break;
        }
    }
    return spell(bytes);
}

}  // namespace shimmy
