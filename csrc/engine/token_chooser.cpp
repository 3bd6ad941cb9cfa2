#include "engine/token_chooser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "errors.h"
#include "llama/logits.h"

namespace shimmy {

constexpr float never = -std::numeric_limits<float>::infinity();

TokenChooser::TokenChooser(std::shared_ptr<const Tokenizer> tokenizer, const Request & request, std::string known,
                           std::shared_ptr<const PrefixTokens> texts)
    : tokenizer_(std::move(tokenizer)),
      sampler_(tokenizer_, request.sampling),
      ignore_eos_(request.ignore_eos),
      stop_token_ids_(request.stop_token_ids.begin(), request.stop_token_ids.end()),
      min_tokens_(request.min_tokens),
      known_(known),
      all_known_(std::move(known)),
      texts_(std::move(texts)) {
    if (request.grammar) {
        grammar_.emplace(request.grammar);
    }
    if (ignore_eos_ ? request.grammar != nullptr : min_tokens_ > 0) {
        eog_ = tokenizer_->eog_tokens();  // goes over the vocabulary
        std::erase_if(eog_, [&](Token token) { return stop_token_ids_.count(token) > 0; });
    }
    for (const Token token : request.prompt) {
        sampler_.accept(token);
    }
}

bool TokenChooser::is_end(Token token) const {
    return (!ignore_eos_ && tokenizer_->is_eog(token)) || stop_token_ids_.count(token) > 0;
}

// Where the output might end and need not.
bool TokenChooser::hides_eog() {
    return ignore_eos_ && grammar_ && !grammar_->awaiting() && !grammar_->stopped();
}

const std::set<Token> * TokenChooser::banned_at(int64_t n_generated) const {
    const auto it = banned_.find(n_generated);
    return it == banned_.end() ? nullptr : &it->second;
}

bool TokenChooser::allowed(Token token, int64_t n_generated) {
    if (n_generated < min_tokens_ && is_end(token)) {
        return false;
    }
    const auto * banned = banned_at(n_generated);
    if (banned && banned->count(token) > 0) {
        return false;
    }
    if (hides_eog() && std::find(eog_.begin(), eog_.end(), token) != eog_.end()) {
        return false;
    }
    if (!known_.empty()) {
        const auto piece = tokenizer_->piece(token);
        const size_t n = std::min(piece.size(), known_.size());
        return n > 0 && piece.compare(0, n, known_, 0, n) == 0;
    }
    return !grammar_ || grammar_->allows(token);
}

size_t TokenChooser::allowed(std::span<const Token> draft) {
    return grammar_ ? grammar_->validate(draft) : draft.size();
}

std::vector<Token> TokenChooser::forced(int64_t n_generated) {
    if (!grammar_ || banned_at(n_generated)) {
        return {};
    }
    auto tokens = grammar_->forced();
    tokens.erase(std::find_if(tokens.begin(), tokens.end(), [&](Token token) { return is_end(token); }), tokens.end());
    return tokens;
}

void TokenChooser::mask(std::span<float> logits, int64_t n_generated) {
    if (!known_.empty()) {
        std::vector<std::pair<Token, float>> kept;
        for (const Token token : texts_->tokens_for(known_)) {
            kept.emplace_back(token, logits[static_cast<size_t>(token)]);
        }
        std::fill(logits.begin(), logits.end(), never);
        for (const auto & [token, logit] : kept) {
            logits[static_cast<size_t>(token)] = logit;
        }
    }
    if (grammar_) {
        grammar_->mask(logits);
    }
    if (n_generated < min_tokens_) {
        const std::span<const Token> ends = ignore_eos_ ? std::span<const Token>() : eog_;
        for (const Token token : ends) {
            logits[static_cast<size_t>(token)] = never;
        }
        for (const Token token : stop_token_ids_) {
            logits[static_cast<size_t>(token)] = never;
        }
    }
    if (const auto * banned = banned_at(n_generated)) {
        for (const Token token : *banned) {
            logits[static_cast<size_t>(token)] = never;
        }
    }
    if (hides_eog()) {
        std::vector<float> hidden;
        for (const Token token : eog_) {
            hidden.push_back(std::exchange(logits[static_cast<size_t>(token)], never));
        }
        if (argmax(logits) < 0) {
            for (size_t i = 0; i < eog_.size(); ++i) {
                logits[static_cast<size_t>(eog_[i])] = hidden[i];
            }
        }
    }
}

std::optional<Draw> TokenChooser::draw(int64_t n_generated) const {
    const bool nothing_banned = banned_.empty() || banned_.rbegin()->first < n_generated;
    const bool all_allowed = !grammar_ && known_.empty() && n_generated >= min_tokens_ && nothing_banned;
    return all_allowed ? sampler_.draw(static_cast<uint64_t>(n_generated)) : std::nullopt;
}

Token TokenChooser::choose(const OutputRow & row, int64_t n_generated) {
    if (row.logits.empty()) {
        if (is_broken(row)) {
            throw DecodeError("the model gave no finite logits: the weights or the KV cache are broken");
        }
        return row.token;
    }
    const auto logits = row.logits;
    const auto * banned = banned_at(n_generated);
    sampler_.go_to(static_cast<uint64_t>(n_generated), banned ? banned->size() : 0);
    const Token token = sampler_.sample(logits);
    if (allowed(token, n_generated)) {
        return token;
    }
    scratch_.assign(logits.begin(), logits.end());
    mask(scratch_, n_generated);
    if (argmax(scratch_) < 0) {
        throw DecodeError("no token is left that grammar, banned_strings, min_tokens and token_healing allow together");
    }
    return sampler_.sample(scratch_);
}

void TokenChooser::accept(Token token) {
    sampler_.accept(token);
    if (grammar_) {
        grammar_->accept(token);
    }
    if (!known_.empty()) {
        known_.erase(0, std::min(known_.size(), tokenizer_->piece(token).size()));
    }
}

void TokenChooser::take_back(size_t n, std::span<const Token> history, int64_t n_generated, Token banned) {
    sampler_.set_history(history);
    if (grammar_) {
        grammar_->rollback(n);
    }
    if (!all_known_.empty()) {
        size_t n_bytes = 0;
        for (const Token token : history.last(static_cast<size_t>(n_generated))) {
            n_bytes += tokenizer_->piece(token).size();
        }
        known_ = all_known_.substr(std::min(n_bytes, all_known_.size()));
    }
    banned_.erase(banned_.upper_bound(n_generated), banned_.end());
    banned_[n_generated].insert(banned);
}

}  // namespace shimmy
