#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/context_cut.h"
#include "errors.h"
#include "grammar/grammar.h"

namespace shimmy {
namespace {

constexpr std::chrono::milliseconds most_look_ahead(2);

// The request as it is computed: checked, and without the prompt's end when that is healed, whose text is `known`.
Request prepared(Request request, const SequenceRules & rules, const PrefixTokens * texts, std::string & known) {
    check_request(request, *rules.tokenizer, rules.n_ctx);
    if (request.token_healing && texts) {
        auto plan = texts->heal(request.prompt);
        request.prompt.resize(request.prompt.size() - plan.n_dropped);
        known = std::move(plan.required);
    }
    return request;
}

}  // namespace

Sequence::Sequence(RequestId id, Request request, AdapterPlan adapters, const SequenceRules & rules,
                   std::shared_ptr<const PrefixTokens> texts)
    : id_(id),
      n_queued_(request.prompt.size() + request.answered.size()),
      request_(prepared(std::move(request), rules, texts.get(), known_)),
      adapters_(std::move(adapters)),
      rules_(rules),
      tokens_(request_.prompt),
      n_prompt_(tokens_.size()),
      chooser_(rules.tokenizer, request_, known_, std::move(texts)),
      text_(rules.tokenizer, request_, known_),
      arrived_(Clock::now()) {
    usage_.prompt_tokens = static_cast<int64_t>(n_queued_ - request_.answered.size());
    if (rules_.max_draft > 0 && request_.speculation) {
        drafts_.emplace(rules_.max_draft);
        drafts_->index.append(tokens_);
    }
    if (!request_.answered.empty()) {
        replay();
    }
}

void Sequence::replay() {
    Output begun;
    size_t n_taken = 0;
    for (const Token token : request_.answered) {
        if (begun.finish_reason != FinishReason::None) {
            break;  // a stop string that the answer had not
        }
        try {
            take(token, {}, begun);
        } catch (const InvalidRequestError &) {
            throw InvalidRequestError("the grammar does not allow token " + std::to_string(n_taken) + " of answered",
                                      "answered");
        }
        if (++n_taken != static_cast<size_t>(n_generated())) {
            throw InvalidRequestError("answered has one of banned_strings", "answered");
        }
    }
    begun_ = std::move(begun);
}

void Sequence::tell_begun(Output & output) {
    if (begun_) {
        begun_->id = id_;
        begun_->n_answered = begun_->tokens.size();
        begun_->prompt_logprobs = std::move(output.prompt_logprobs);
        begun_->error = std::move(output.error);
        output = std::move(*begun_);
        begun_.reset();
    }
}

bool Sequence::scores_prompt() const {
    return request_.prompt_logprobs && n_computed_ < static_cast<int32_t>(n_prompt_) && !shifted();
}

bool Sequence::decoding() const {
    return first_token_.has_value() && switched() && n_pending() <= rules_.most_pending;
}

RunningView Sequence::view(uint64_t last_step) const {
    RunningView view{n_pending(), decoding(), adapters().id, last_step};
    view.n_before_switch = switched() ? 0 : adapters_.switch_at - n_computed_;
    view.scores = scores_prompt();
    view.n_done = n_computed_;
    view.n_chunked = static_cast<int32_t>(shifted() ? tokens_.size() : n_prompt_);
    view.n_draft = drafts_ ? static_cast<int32_t>(drafts_->tokens.size()) : 0;
    return view;
}

int32_t Sequence::reusable(int32_t n) const {
    if (request_.prompt_logprobs) {
        return 0;
    }
    n = std::min(n, static_cast<int32_t>(tokens_.size()) - 1);
    if (adapters_.switch_at > 0) {
        n = std::min(n, adapters_.switch_at);
    }
    return rules_.fixed_chunk > 0 ? n / rules_.fixed_chunk * rules_.fixed_chunk : n;
}

size_t Sequence::shareable_prompt() const {
    if (rules_.fixed_chunk > 0 && request_.prompt_logprobs) {
        return 0;
    }
    const auto switch_at = static_cast<size_t>(adapters_.switch_at);
    return switch_at > 0 ? std::min(switch_at, tokens_.size()) : tokens_.size();  // healing may have cut before it
}

int32_t Sequence::shareable() const {
    int32_t n = n_computed_;
    if (adapters_.switch_at > 0) {
        n = std::min(n, adapters_.switch_at);
    }
    if (rules_.fixed_chunk > 0) {
        // Prompts whose tokens are scored are computed in other pieces; a banned string has the last token computed
        // again, alone.
        if (request_.prompt_logprobs) {
            return 0;
        }
        const auto n_prompt = static_cast<int32_t>(n_prompt_) - (request_.banned_strings.empty() ? 0 : 1);
        const auto n_chunked = shifted() ? static_cast<int32_t>(n_keep()) : n_prompt;
        n = std::min(n, n_chunked / rules_.fixed_chunk * rules_.fixed_chunk);
    }
    return n;
}

int32_t Sequence::draft_room() const {
    auto room = rules_.n_ctx - static_cast<int64_t>(tokens_.size()) - 1;
    if (request_.max_tokens) {
        room = std::min(room, *request_.max_tokens - n_generated() - 1);
    }
    return decoding() && looks_ahead_ ? static_cast<int32_t>(std::clamp<int64_t>(room, 0, rules_.max_draft)) : 0;
}

void Sequence::keep_allowed(std::vector<Token> & draft) {
    const auto latest = Clock::now() + most_look_ahead;
    try {
        draft.resize(chooser_.allowed(draft));
    } catch (const std::exception &) {
        draft.clear();  // the next choice says what is wrong
    }
    looks_ahead_ = looks_ahead_ && Clock::now() < latest;
}

std::optional<Draw> Sequence::draw(int64_t n_ahead) const {
    return request_.logprobs || scores_prompt() ? std::nullopt : chooser_.draw(n_generated() + n_ahead);
}

std::vector<Token> Sequence::tokens_of(const Share & share) const {
    const auto first = tokens_.begin() + n_computed_;
    std::vector<Token> tokens(first, first + share.n_tokens - share.n_draft);
    if (share.n_draft > 0) {
        tokens.insert(tokens.end(), drafts_->tokens.begin(), drafts_->tokens.begin() + share.n_draft);
    }
    return tokens;
}

void Sequence::admitted(int32_t n_reused, CacheMiss miss) {
    n_computed_ = n_reused;
    if (!started_) {
        started_ = Clock::now();
        usage_.cached_tokens = std::min<int64_t>(n_reused, usage_.prompt_tokens);
        usage_.cache_miss = n_reused < usage_.prompt_tokens ? miss : CacheMiss::None;
        usage_.cache_diverged_at = usage_.cache_miss == CacheMiss::None ? -1 : n_reused;
        usage_.queue_seconds = std::chrono::duration<double>(*started_ - arrived_).count();
    }
}

void Sequence::lost() {
    n_computed_ = 0;
    if (drafts_) {
        drafts_->tokens.clear();
    }
}

size_t Sequence::n_keep() const {
    const auto wanted = static_cast<size_t>(std::max<int64_t>(request_.n_keep.value_or(-1), 1));
    return request_.n_keep == -1 ? n_prompt_ : std::min(wanted, n_prompt_);
}

bool Sequence::shift() {
    const size_t n = request_.n_keep ? context_cut(tokens_.size(), n_keep(), text_.n_held() + 1) : 0;
    if (n == 0) {
        return false;
    }
    if (!shifted()) {
        history_ = tokens_;
    }
    const auto kept = static_cast<int32_t>(n_keep());
    tokens_.erase(tokens_.begin() + kept, tokens_.begin() + kept + static_cast<std::ptrdiff_t>(n));
    if (adapters_.switch_at > kept) {
        adapters_.switch_at = std::max(adapters_.switch_at - static_cast<int32_t>(n), kept);
    }
    // What is computed again has the shapes that a request for these tokens would have.
    const int32_t chunk = std::max(rules_.fixed_chunk, 1);
    n_computed_ = std::min(n_computed_, kept / chunk * chunk);
    ++usage_.context_shifts;
    usage_.shifted_tokens += static_cast<int64_t>(n);
    return true;
}

void Sequence::advance(const Share & share, Rows rows, Output & output) {
    const int32_t first = n_computed_;
    const bool scores = scores_prompt();
    n_cells_ = first + share.n_tokens;
    n_computed_ = n_cells_ - share.n_draft;
    if (scores) {
        score_prompt(first, rows, output);
    }
    if (!share.output) {
        return;
    }
    if (request_.max_tokens == 0) {
        finish(FinishReason::Length, output);
        return;
    }
    check_drafts(share.n_draft, rows.last(static_cast<size_t>(share.n_draft) + 1), output);
}

void Sequence::check_drafts(int32_t n_draft, Rows rows, Output & output) {
    int32_t n_accepted = 0;
    for (int32_t i = 0; choose(rows[static_cast<size_t>(i)], output) && i < n_draft; ++i) {
        if (tokens_.back() != drafts_->tokens[static_cast<size_t>(i)]) {
            break;
        }
        ++n_accepted;
        ++n_computed_;
    }
    if (drafts_) {
        drafts_->policy.observe(drafts_->draft, n_draft, n_accepted);
        drafts_->draft = {};
        drafts_->tokens.clear();
        usage_.drafted_tokens += n_draft;
        usage_.accepted_tokens += n_accepted;
    }
    if (output.finish_reason == FinishReason::None) {
        append_forced(output);
    }
    output.usage = usage_;
}

// Tokens that need no choice are computed together with the next one. Where each one's log-probability is wanted, or
// steps have a fixed shape, they are chosen one by one like all others.
void Sequence::append_forced(Output & output) {
    if (request_.logprobs || rules_.fixed_chunk > 0) {
        return;
    }
    while (!forced_.empty() && n_pending() < rules_.most_pending && take(forced_.front(), {}, output)) {
    }
}

void Sequence::score_prompt(int32_t first, Rows rows, Output & output) {
    int32_t next = first;
    for (const auto & row : rows) {
        if (is_broken(row)) {
            throw DecodeError("the model gave no finite logits for the prompt: the weights or the KV cache are broken");
        }
        if (++next > n_scored_ && next < static_cast<int32_t>(n_prompt_)) {
            output.prompt_logprobs.push_back(
                logprobs(row.logits, tokens_[static_cast<size_t>(next)], *request_.prompt_logprobs));
            n_scored_ = next;
        }
    }
}

bool Sequence::choose(const OutputRow & row, Output & output) {
    tell_begun(output);
    // Forced ones take no random number, so that a seed says the same with drafts and without.
    const Token token = forced_.empty() ? chooser_.choose(row, n_generated()) : forced_.front();
    const auto now = Clock::now();
    if (!first_token_) {
        first_token_ = now;
        usage_.prefill_seconds = std::chrono::duration<double>(now - *started_).count();
    }
    usage_.decode_seconds = std::chrono::duration<double>(now - *first_token_).count();
    if (!chooser_.is_end(token)) {
        return take(token, row.logits, output);
    }
    ++usage_.completion_tokens;
    const auto & stop_ids = request_.stop_token_ids;
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
        output.stop_token = token;
    }
    finish(FinishReason::Stop, output);
    return false;
}

bool Sequence::take(Token token, std::span<const float> logits, Output & output) {
    chooser_.accept(token);
    tokens_.push_back(token);
    if (shifted()) {
        history_.push_back(token);
    }
    if (drafts_) {
        drafts_->index.append(std::span(&token, 1));
    }
    ++usage_.completion_tokens;
    std::optional<TokenLogprobs> scores;
    if (request_.logprobs && !logits.empty()) {
        scores = logprobs(logits, token, *request_.logprobs);
    }
    const bool full = tokens_.size() >= static_cast<size_t>(rules_.n_ctx);
    const bool may_stop = n_generated() >= request_.min_tokens;
    if (const size_t n = text_.push(token, std::move(scores), may_stop, output); n > 0) {
        const Token banned = tokens_[tokens_.size() - n];
        tokens_.resize(tokens_.size() - n);
        history_.resize(shifted() ? history_.size() - n : 0);
        usage_.completion_tokens -= static_cast<int64_t>(n);
        n_computed_ = std::min(n_computed_, static_cast<int32_t>(tokens_.size()) - 1);
        forced_.clear();
        chooser_.take_back(n, history(), n_generated(), banned);
        if (drafts_) {
            drafts_->index.truncate(history().size());
        }
    } else if (output.stop_string) {
        finish(FinishReason::Stop, output);
    } else if (chooser_.complete()) {
        finish(FinishReason::Stop, output);
    } else if (n_generated() == request_.max_tokens || (full && !shift())) {
        finish(FinishReason::Length, output);
    } else {
        if (!forced_.empty()) {
            forced_.erase(forced_.begin());
        }
        if (forced_.empty()) {
            forced_ = chooser_.forced(n_generated());
        }
        return !full;  // after a shift nothing is
    }
    return false;
}

void Sequence::finish(FinishReason reason, Output & output) {
    tell_begun(output);
    if (output.finish_reason != FinishReason::None) {
        return;
    }
    text_.finish(output);
    usage_.completion_tokens -= static_cast<int64_t>(text_.n_held());  // after a stop string
    output.finish_reason = output.stop_string ? FinishReason::Stop : reason;
    output.usage = usage_;
}

}  // namespace shimmy
