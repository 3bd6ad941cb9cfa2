#include "grammar/grammar_matcher.h"

#include <algorithm>
#include <limits>
#include <regex>
#include <utility>

#include "errors.h"

namespace shimmy {

namespace {

constexpr size_t pattern_window = 128;  // bytes before a token in which a trigger's match may begin
constexpr float likely_range = 20;      // logits below the highest
constexpr size_t most_likely = 4096;

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), matcher_(grammar_->matcher()), awaiting_(grammar_->trigger().lazy) {}

GrammarMatcher::GrammarMatcher(const GrammarMatcher & other)
    : grammar_(other.grammar_),
      matcher_(other.library().clone_matcher(other.matcher_.get()), FreeMatcher{&other.library()}),
      awaiting_(other.awaiting_),
      text_(other.text_),
      steps_(other.steps_) {}

GrammarMatcher & GrammarMatcher::operator=(const GrammarMatcher & other) {
    return *this = GrammarMatcher(other);
}

void GrammarMatcher::fail() {
    const char * error = library().matcher_get_error(matcher_.get());
    std::string text = error == nullptr ? "unknown error" : error;
    text = text.substr(0, std::min<size_t>(text.find("\n<"), 300));
    const auto says = [&](const char * words) { return text.find(words) != std::string::npos; };
    const bool is_limit =
        says("Too many items") || says("Current row has") || says("too many expressions") || says("too many states");
    throw DecodeError(std::string("the ") + name_of(grammar_->kind()) +
                      (is_limit ? " needs more work for one step than is allowed, make it simpler or less ambiguous: "
                                : " could not be followed any further: ") +
                      text);
}

bool GrammarMatcher::stopped_in_llg() {
    if (library().matcher_is_error(matcher_.get())) {
        fail();
    }
    return library().matcher_is_stopped(matcher_.get());
}

size_t GrammarMatcher::validate_in_llg(std::span<const uint32_t> tokens) {
    if (tokens.empty()) {
        return 0;
    }
    if (stopped_in_llg()) {
        return tokenizer().is_eog(static_cast<int32_t>(tokens[0])) ? 1 : 0;
    }
    const int32_t n = library().matcher_validate_tokens(matcher_.get(), tokens.data(), tokens.size());
    if (n < 0) {
        fail();
    }
    return static_cast<size_t>(n);
}

void GrammarMatcher::consume(std::span<const uint32_t> tokens) {
    if (!tokens.empty() && library().matcher_consume_tokens(matcher_.get(), tokens.data(), tokens.size()) != 0) {
        fail();
    }
}

GrammarMatcher::Trigger GrammarMatcher::triggered_by(int32_t token) const {
    const GrammarStart & start = grammar_->trigger();
    if (std::find(start.tokens.begin(), start.tokens.end(), token) != start.tokens.end()) {
        return {true, {static_cast<uint32_t>(token)}};
    }
    const std::string_view piece = tokenizer().text_of(token);
    if (piece.empty()) {
        return {};
    }
    size_t first = std::string::npos;
    std::string text;
    for (const std::string & word : start.words) {
        const size_t n_before = std::min(text_.size(), word.size() - 1);
        std::string tail = text_.substr(text_.size() - n_before);
        tail += piece;
        const size_t at = tail.find(word);
        if (at != std::string::npos && text_.size() - n_before + at < first) {
            first = text_.size() - n_before + at;
            text = tail.substr(at);
        }
    }
    if (const size_t at = matched_by(piece); at < first) {
        first = at;
        text = text_.substr(std::min(at, text_.size()));
        text += piece.substr(at - std::min(at, text_.size()));
    }
    if (first == std::string::npos) {
        return {};
    }
    return {true, text == piece ? std::vector{static_cast<uint32_t>(token)} : tokenizer().spell(text)};
}

// Where in the text, this piece included, a pattern's match begins; npos: nowhere.
size_t GrammarMatcher::matched_by(std::string_view piece) const {
    const auto & patterns = grammar_->trigger().patterns;
    if (patterns.empty()) {
        return std::string::npos;
    }
    const size_t begin = text_.size() - std::min(text_.size(), pattern_window);
    std::string window = text_.substr(begin);
    window += piece;
    const auto flags = begin > 0 ? std::regex_constants::match_not_bol : std::regex_constants::match_default;
    size_t first = std::string::npos;
    std::smatch match;
    for (const auto & pattern : patterns) {
        if (std::regex_search(window, match, pattern, flags)) {
            const size_t group = match.size() > 1 && match[1].matched ? 1 : 0;
            first = std::min(first, begin + static_cast<size_t>(match.position(group)));
        }
    }
    return first;
}

// Whether the text ends with the beginning of a trigger's word.
bool GrammarMatcher::within_word() const {
    const std::string_view text = text_;
    for (const std::string_view word : grammar_->trigger().words) {
        for (size_t n = std::min(text.size(), word.size() - 1); n > 0; --n) {
            if (text.ends_with(word.substr(0, n))) {
                return true;
            }
        }
    }
    return false;
}

size_t GrammarMatcher::validate(std::span<const int32_t> tokens) {
    const auto known = std::find_if_not(tokens.begin(), tokens.end(), [&](int32_t t) { return tokenizer().knows(t); });
    tokens = tokens.first(static_cast<size_t>(known - tokens.begin()));
    if (!awaiting_) {
        const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
        return validate_in_llg(ids);
    }
    const size_t n_text = text_.size();
    size_t n = 0;
    for (; n < tokens.size(); ++n) {
        const Trigger trigger = triggered_by(tokens[n]);
        if (trigger.found) {
            std::vector<uint32_t> ids = trigger.tokens;
            ids.insert(ids.end(), tokens.begin() + static_cast<std::ptrdiff_t>(n) + 1, tokens.end());
            const size_t n_valid = trigger.tokens.empty() ? 0 : validate_in_llg(ids);
            n += n_valid < trigger.tokens.size() || n_valid == 0 ? 0 : 1 + n_valid - trigger.tokens.size();
            break;
        }
        if (tokenizer().is_eog(tokens[n])) {
            ++n;
            break;
        }
        text_ += tokenizer().text_of(tokens[n]);
    }
    text_.resize(n_text);
    return n;
}

bool GrammarMatcher::allows(int32_t token) {
    if (checked_ && checked_->token == token) {
        return true;
    }
    checked_.reset();
    if (!tokenizer().knows(token)) {
        return false;
    }
    Checked checked{token, awaiting_ ? triggered_by(token) : Trigger{false, {static_cast<uint32_t>(token)}}};
    const auto & tokens = checked.trigger.tokens;
    const bool in_grammar = !awaiting_ || checked.trigger.found;
    if (in_grammar && (tokens.empty() || validate_in_llg(tokens) != tokens.size())) {
        return false;
    }
    checked_ = std::move(checked);
    return true;
}

void GrammarMatcher::accept(int32_t token) {
    if (!allows(token)) {
        throw InvalidRequestError("token " + std::to_string(token) + " is not allowed here by the grammar", "token");
    }
    const Trigger trigger = std::exchange(checked_, std::nullopt)->trigger;
    Step step{0, 0, awaiting_};
    std::vector<uint32_t> ids = trigger.tokens;
    if (awaiting_) {
        awaiting_ = !trigger.found;
        step.n_text = static_cast<uint32_t>(tokenizer().text_of(token).size());
        text_ += tokenizer().text_of(token);
    } else if (stopped_in_llg()) {
        ids.clear();
    }
    step.n_consumed = static_cast<uint32_t>(ids.size());
    consume(ids);
    steps_.push_back(step);
}

void GrammarMatcher::rollback(size_t n_tokens) {
    if (n_tokens > steps_.size()) {
        throw InvalidRequestError(
            "cannot take back " + std::to_string(n_tokens) + " tokens of " + std::to_string(steps_.size()), "n_tokens");
    }
    checked_.reset();
    size_t n_consumed = 0;
    for (; n_tokens > 0; --n_tokens) {
        const Step & step = steps_.back();
        n_consumed += step.n_consumed;
        text_.resize(text_.size() - step.n_text);
        awaiting_ = step.was_awaiting;
        steps_.pop_back();
    }
    if (n_consumed > 0 && library().matcher_rollback(matcher_.get(), n_consumed) != 0) {
        fail();
    }
}

// Which tokens a pattern refuses only trying tells: those that might be chosen are tried.
void GrammarMatcher::refuse_likely(std::span<float> logits) {
    const float least = *std::max_element(logits.begin(), logits.end()) - likely_range;
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < logits.size() && tokens.size() < most_likely; ++i) {
        if (logits[i] >= least) {
            tokens.push_back(static_cast<int32_t>(i));
        }
    }
    for (const int32_t token : tokens) {
        if (!allows(token)) {
            logits[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
        }
    }
}

void GrammarMatcher::mask(std::span<float> logits) {
    const size_t n_vocab = tokenizer().vocab().bytes.size();
    if (logits.size() < n_vocab) {
        throw InvalidRequestError("there are " + std::to_string(logits.size()) + " logits, the vocabulary has " +
                                      std::to_string(n_vocab) + " tokens",
                                  "logits");
    }
    constexpr float never = -std::numeric_limits<float>::infinity();
    std::fill(logits.begin() + static_cast<std::ptrdiff_t>(n_vocab), logits.end(), never);
    if (awaiting_) {
        const auto refuse = [&](std::span<const int32_t> tokens) {
            for (const int32_t token : tokens) {
                if (!allows(token)) {
                    logits[static_cast<size_t>(token)] = never;
                }
            }
        };
        const GrammarStart & start = grammar_->trigger();
        refuse(start.completing);
        if (within_word()) {
            refuse(start.continuing);
        }
        if (!start.patterns.empty()) {
            refuse_likely(logits);
        }
        return;
    }
    stopped_in_llg();
    std::vector<uint32_t> bits(library().matcher_get_mask_byte_size(matcher_.get()) / sizeof(uint32_t));
    if (library().matcher_compute_mask_into(matcher_.get(), bits.data(), bits.size() * sizeof(uint32_t)) != 0) {
        fail();
    }
    for (size_t i = 0; i < bits.size(); ++i) {
        const size_t first = i * 32;
        const size_t n = std::min<size_t>(32, n_vocab - std::min(n_vocab, first));
        if (bits[i] == UINT32_MAX) {
            continue;
        }
        for (size_t bit = 0; bit < n; ++bit) {
            if ((bits[i] >> bit & 1) == 0) {
                logits[first + bit] = never;
            }
        }
    }
}

std::vector<int32_t> GrammarMatcher::forced() {
    if (awaiting_ || stopped_in_llg()) {
        return {};
    }
    std::vector<uint32_t> tokens(256);
    const int32_t n = library().matcher_compute_ff_tokens(matcher_.get(), tokens.data(), tokens.size());
    if (n < 0 || library().matcher_is_error(matcher_.get())) {
        fail();
    }
    tokens.resize(static_cast<size_t>(n));
    return {tokens.begin(), tokens.end()};
}

bool GrammarMatcher::accepting() {
    return awaiting_ || stopped_in_llg() || library().matcher_is_accepting(matcher_.get());
}

bool GrammarMatcher::stopped() {
    return !awaiting_ && stopped_in_llg();
}

}  // namespace shimmy
