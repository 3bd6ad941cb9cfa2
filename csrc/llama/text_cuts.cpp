#include "llama/text_cuts.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace shimmy {
namespace {

constexpr size_t piece_bytes = 64 << 10;
constexpr size_t piece_specials = 512;
constexpr size_t digit_step = 60;  // a multiple of 3
constexpr size_t space_block = 512;
constexpr size_t space_step = 16 * space_block;
constexpr size_t recursive_stretch = size_t{1} << 15;
constexpr size_t linear_stretch = size_t{1} << 20;

// Pre-tokenizers that unicode_regex_split runs by hand-written loops instead of std::regex.
constexpr std::string_view linear[] = {"gpt-2",
                                       "phi-2",
                                       "jina-es",
                                       "jina-de",
                                       "gigachat",
                                       "jina-v2-es",
                                       "jina-v2-de",
                                       "a.x-4.0",
                                       "mellum",
                                       "modern-bert",
                                       "mpt",
                                       "olmo",
                                       "jais",
                                       "trillion",
                                       "granite-docling",
                                       "llama3",
                                       "llama-v3",
                                       "llama-bpe",
                                       "falcon3",
                                       "falcon-h1",
                                       "pixtral",
                                       "midm-2.0",
                                       "lfm2",
                                       "jina-v5-nano",
                                       "dbrx",
                                       "smaug-bpe",
                                       "glm4",
                                       "glm5",
                                       "chatglm-bpe",
                                       "stablelm2",
                                       "qwen2",
                                       "deepseek-r1-qwen",
                                       "kormo",
                                       "f2llmv2",
                                       "hunyuan",
                                       "solar-open",
                                       "megrez",
                                       "grok-2",
                                       "qwen35",
                                       "kimi-k2",
                                       "laguna",
                                       "gemma4",
                                       "sarvam-moe",
                                       "granite-embed-multi-311m",
                                       "starcoder",
                                       "refact",
                                       "command-r",
                                       "smollm",
                                       "codeshell",
                                       "exaone",
                                       "minerva-7b",
                                       "mellum2",
                                       "jina-v1-en",
                                       "jina-v2-code",
                                       "roberta-bpe"};

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

size_t char_bytes(char lead) {
    const auto byte = static_cast<uint8_t>(lead);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// Unicode's White_Space.
bool is_space(std::string_view text, size_t at) {
    const char c = text[at];
    if (static_cast<uint8_t>(c) < 0x80) {
        return c == ' ' || (c >= '\t' && c <= '\r');
    }
    const auto character = text.substr(at, char_bytes(c));
    if (c == '\xE2' && character.starts_with("\xE2\x80")) {
        const auto last = static_cast<uint8_t>(character[2]);
        return last <= 0x8A || last == 0xA8 || last == 0xA9 || last == 0xAF;
    }
    return character == "\xC2\x85" || character == "\xC2\xA0" || character == "\xE1\x9A\x80" ||
           character == "\xE2\x81\x9F" || character == "\xE3\x80\x80";
}

// Goes over a text once and collects its pieces.
class Cutter {
  public:
    Cutter(std::string_view text, const CutRules & rules, const SpecialTexts & specials, bool parse_special)
        : text_(text), rules_(rules), specials_(specials), parse_special_(parse_special) {}

    std::vector<TextPiece> run() {
        for (size_t at = 0; at < text_.size(); at += char_bytes(text_[at])) {
            if (at > begin_ && (exact_cut(at) || forced_cut(at))) {
                cut(at);
            }
            see_special(at);
            see_run(at);
            see_stretch(at);
        }
        cut(text_.size());
        return std::move(pieces_);
    }

  private:
    void cut(size_t at) {
        pieces_.push_back({text_.substr(begin_, at - begin_), longest_});
        begin_ = at;
        longest_ = spaces_ = others_ = n_specials_ = 0;
    }

    bool exact_cut(size_t at) const {
        if (special_end_ > at) {
            return false;
        }
        if (at == run_cut_) {
            return true;
        }
        const bool long_enough = at - begin_ >= piece_bytes;
        if (rules_.at_specials && at == certain_end_ && (long_enough || n_specials_ >= piece_specials)) {
            return true;
        }
        return rules_.at_newlines && long_enough && special_end_ < at && text_[at] == '\n' && is_letter(text_[at - 1]);
    }

    bool forced_cut(size_t at) const {
        return rules_.max_stretch > 0 && special_end_ <= at && std::max(spaces_, others_) >= rules_.max_stretch;
    }

    // A special token is found for certain where none that is longer overlaps it: the longest are searched for first.
    void see_special(size_t at) {
        const size_t length = specials_.longest_at(text_, at, parse_special_);
        if (length == 0) {
            return;
        }
        ++n_specials_;
        certain_end_ = special_end_ <= at ? at + length : at + length > special_end_ ? 0 : certain_end_;
        special_end_ = std::max(special_end_, at + length);
    }

    // The next cut inside of a run that is split into groups.
    void see_run(size_t at) {
        if (at >= run_end_ && rules_.digit_groups && is_digit(at)) {
            run_end_ = at;
            while (run_end_ < text_.size() && is_digit(run_end_)) {
                ++run_end_;
            }
            run_cut_ = run_end_ - (run_end_ - at - 1) / digit_step * digit_step;
        } else if (at >= run_end_ && rules_.space_blocks && is_blank(at)) {
            n_left_ = 0;
            run_end_ = at;
            while (run_end_ < text_.size() && is_blank(run_end_)) {
                run_end_ += char_bytes(text_[run_end_]);
                ++n_left_;
            }
            const bool line_ends = run_end_ < text_.size() && is_space(text_, run_end_);
            n_left_ = line_ends ? 0 : n_left_;  // a line's end takes all white space before it
            run_cut_ = blanks_on(at);
        } else if (at == run_cut_) {
            run_cut_ = rules_.digit_groups ? at + digit_step : blanks_on(at);
        }
        run_cut_ = run_cut_ < run_end_ ? run_cut_ : 0;
    }

    size_t blanks_on(size_t at) {
        if (n_left_ <= space_step + space_block) {
            return 0;
        }
        n_left_ -= space_step;
        for (size_t i = 0; i < space_step; ++i) {
            at += char_bytes(text_[at]);
        }
        return at;
    }

    void see_stretch(size_t at) {
        if (!is_space(text_, at)) {
            ++others_;
            spaces_ = 0;
        } else {
            ++spaces_;
            const bool joins = static_cast<uint8_t>(text_[at]) >= 0x80 || (rules_.spaces_join && text_[at] == ' ');
            others_ = joins ? others_ + 1 : 0;
        }
        longest_ = std::max({longest_, spaces_, others_});
    }

    bool is_digit(size_t at) const { return text_[at] >= '0' && text_[at] <= '9'; }
    bool is_blank(size_t at) const { return text_[at] != '\n' && text_[at] != '\r' && is_space(text_, at); }

    std::string_view text_;
    const CutRules & rules_;
    const SpecialTexts & specials_;
    bool parse_special_;
    std::vector<TextPiece> pieces_;
    size_t begin_ = 0;
    size_t n_specials_ = 0;   // seen since begin_
    size_t special_end_ = 0;  // of all that started so far
    size_t certain_end_ = 0;  // of the last one, when it is found for certain
    size_t run_end_ = 0;
    size_t run_cut_ = 0;
    size_t n_left_ = 0;  // white space from run_cut_ or the run's start on
    size_t spaces_ = 0;
    size_t others_ = 0;  // white space outside of ASCII counts for both: some pre-tokenizers take it for punctuation
    size_t longest_ = 0;
};

}  // namespace

CutRules cut_rules(std::string_view model, std::string_view pre) {
    CutRules rules;
    if (model == "hybriddna") {  // reads tags that span the text
        return rules;
    }
    rules.at_specials = true;
    if (model == "gpt2" || model == "gemma4" || model == "whitespace") {
        const bool is_linear =
            model == "gemma4" || std::find(std::begin(linear), std::end(linear), pre) != std::end(linear);
        rules.at_newlines = true;
        rules.max_stretch = is_linear ? linear_stretch : recursive_stretch;
        rules.spaces_join = pre == "exaone-moe";
        rules.digit_groups = pre == "superbpe";
        rules.space_blocks = pre == "jais-2";
    }
    return rules;
}

std::vector<TextPiece> cut_text(std::string_view text, const CutRules & rules, const SpecialTexts & specials,
                                bool parse_special) {
    return Cutter(text, rules, specials, parse_special).run();
}

}  // namespace shimmy
