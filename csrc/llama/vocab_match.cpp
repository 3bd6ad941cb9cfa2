#include "llama/vocab_match.h"

#include <llama.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "errors.h"

namespace shimmy {
namespace {

constexpr int32_t most_size_difference = 128;
constexpr int32_t first_compared = 5;  // models disagree harmlessly about unk, pad and the like before it

std::string kind_of(const llama_vocab * vocab) {
    switch (llama_vocab_type(vocab)) {
        case LLAMA_VOCAB_TYPE_SPM:
            return "SentencePiece";
        case LLAMA_VOCAB_TYPE_BPE:
            return "BPE";
        case LLAMA_VOCAB_TYPE_WPM:
            return "WordPiece";
        case LLAMA_VOCAB_TYPE_UGM:
            return "Unigram";
        case LLAMA_VOCAB_TYPE_RWKV:
            return "RWKV";
        default:
            return "type " + std::to_string(llama_vocab_type(vocab));
    }
}

std::string special(bool added, llama_token token) {
    return added ? "token " + std::to_string(token) : "none";
}

std::string quoted(const char * text) {
    return std::string("'").append(text).append("'");
}

}  // namespace

void check_vocab_match(const Model & target, const Model & draft) {
    const auto * ours = target.vocab();
    const auto * theirs = draft.vocab();
    const auto refuse = [&](const std::string & what, const std::string & of_draft, const std::string & of_target) {
        throw InvalidRequestError(draft.path() + " cannot draft for " + target.path() + ": its " + what + " is " +
                                      of_draft + ", the target's is " + of_target +
                                      "; use a draft model with the target's vocabulary",
                                  "draft_model");
    };
    if (llama_vocab_type(ours) != llama_vocab_type(theirs)) {
        refuse("kind of vocabulary", kind_of(theirs), kind_of(ours));
    }
    if (llama_vocab_type(ours) == LLAMA_VOCAB_TYPE_NONE) {
        refuse("vocabulary", "missing", "missing");
    }
    const auto compare = [&](const char * what, bool our_add, llama_token our_token, bool their_add,
                             llama_token their_token) {
        if (our_add != their_add || (our_add && our_token != their_token)) {
            refuse(std::string("added ") + what, special(their_add, their_token), special(our_add, our_token));
        }
    };
    compare("BOS", llama_vocab_get_add_bos(ours), llama_vocab_bos(ours), llama_vocab_get_add_bos(theirs),
            llama_vocab_bos(theirs));
    compare("EOS", llama_vocab_get_add_eos(ours), llama_vocab_eos(ours), llama_vocab_get_add_eos(theirs),
            llama_vocab_eos(theirs));
    const int32_t n_ours = llama_vocab_n_tokens(ours);
    const int32_t n_theirs = llama_vocab_n_tokens(theirs);
    if (std::abs(n_ours - n_theirs) > most_size_difference) {
        refuse("vocabulary size", std::to_string(n_theirs), std::to_string(n_ours));
    }
    for (llama_token token = first_compared; token < std::min(n_ours, n_theirs); ++token) {
        const char * our_text = llama_vocab_get_text(ours, token);
        const char * their_text = llama_vocab_get_text(theirs, token);
        if (std::string_view(our_text) != their_text) {
            refuse("token " + std::to_string(token), quoted(their_text), quoted(our_text));
        }
    }
}

}  // namespace shimmy
