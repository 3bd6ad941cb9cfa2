#include "engine/text_stream.h"

#include <algorithm>
#include <utility>

namespace shimmy {

TextStream::TextStream(const std::shared_ptr<const Tokenizer> & tokenizer, const Request & request, std::string known)
    : detokenizer_(tokenizer, {request.preserved_tokens.begin(), request.preserved_tokens.end()}),
      stop_(request.stop),
      known_(std::move(known)) {
    if (!request.banned_strings.empty()) {
        banned_.emplace(request.banned_strings);
    }
}

size_t TextStream::push(Token token, std::optional<TokenLogprobs> logprobs, bool may_stop, Output & output) {
    if (!banned_) {
        take(token, std::move(logprobs), output);
        show_text(less_known(detokenizer_.push(token)), may_stop, output);
        return 0;
    }
    Held now{token, std::move(logprobs), {}, detokenizer_, known_, may_stop};
    now.text = less_known(detokenizer_.push(token));
    const auto verdict = banned_->push(now.text);
    held_.push_back(std::move(now));
    if (verdict.status == BannedStrings::Status::Hit) {
        const size_t n = verdict.n_tokens + 1;
        auto & first = held_[held_.size() - n];
        detokenizer_ = std::move(first.before);
        known_ = std::move(first.known_before);
        held_.erase(held_.end() - static_cast<std::ptrdiff_t>(n), held_.end());
        banned_->rewind(n);
        return n;
    }
    const size_t n_shown = held_.size() - (verdict.status == BannedStrings::Status::Hold ? verdict.n_tokens : 0);
    show_first(n_shown, output);
    return 0;
}

void TextStream::take(Token token, std::optional<TokenLogprobs> logprobs, Output & output) {
    output.tokens.push_back(token);
    if (logprobs) {
        output.logprobs.push_back(std::move(*logprobs));
    }
}

void TextStream::show(Held & held, Output & output) {
    take(held.token, std::move(held.logprobs), output);
    show_text(held.text, held.may_stop, output);
}

void TextStream::show_first(size_t n, Output & output) {
    size_t n_shown = 0;
    while (n_shown < n && !output.stop_string) {
        show(held_[n_shown++], output);
    }
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(n_shown));
}

std::string TextStream::less_known(std::string text) {
    const size_t n = std::min(known_.size(), text.size());
    known_.erase(0, n);
    return text.substr(n);
}

void TextStream::show_text(const std::string & text, bool may_stop, Output & output) {
    if (!may_stop) {
        output.text += stop_.flush() + text;
        return;
    }
    auto match = stop_.push(text);
    output.text += match.text;
    output.stop_string = std::move(match.stop);
}

void TextStream::finish(Output & output) {
    show_first(held_.size(), output);
    if (!output.stop_string) {
        show_text(less_known(detokenizer_.flush()), true, output);
    }
    if (!output.stop_string) {
        output.text += stop_.flush();
    }
}

}  // namespace shimmy
