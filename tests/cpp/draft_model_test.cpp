// The demo model's draft beside the demo model.
#include "engine/draft_model.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "errors.h"
#include "llama/logits.h"

namespace shimmy {
namespace {

const std::string data = std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/";
constexpr uint32_t n_slots = 4;

const std::shared_ptr<Model> & target() {
    static const auto model = Model::load(data + "shimmy-mini.gguf");
    return model;
}

const std::shared_ptr<Model> & draft() {
    static const auto model = Model::load(data + "shimmy-mini-draft.gguf");
    return model;
}

ContextParams small() {
    ContextParams params;
    params.n_threads = 1;
    params.poll = 0;
    return params;
}

DraftModel make(uint32_t n_ctx = 4096, int32_t catch_up_budget = 512) {
    return {draft(), *target(), small(), n_slots, n_ctx, catch_up_budget};
}

const std::vector<std::string> questions{
    "Who are you?",
    "What is the capital of France?",
    "Count from 1 to 40.",
    "Repeat after me: the quick brown fox jumps over the lazy dog",
    "Write a short poem about the sea.",
    "What can you do?",
};

std::vector<Token> prompt(const std::string & question) {
    const auto text = "<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n";
    return Tokenizer(target()).encode(text, false, true);
}

// The prompt with the target's greedy answer, of at most `max_tokens`.
std::vector<Token> answered(const std::string & question, size_t max_tokens) {
    auto params = small();
    params.n_ctx = 1024;
    Context context(target(), params);
    const Tokenizer tokenizer(target());
    auto tokens = prompt(question);
    const size_t end = tokens.size() + max_tokens;
    size_t n_computed = 0;
    while (tokens.size() < end) {
        Batch batch;
        for (; n_computed < tokens.size(); ++n_computed) {
            batch.add(tokens[n_computed], static_cast<Pos>(n_computed), 0, n_computed + 1 == tokens.size());
        }
        REQUIRE(context.decode(batch) == DecodeStatus::Ok);
        const Token token = argmax(context.logits(-1));
        if (tokenizer.is_eog(token)) {
            break;
        }
        tokens.push_back(token);
    }
    return tokens;
}

std::vector<Token> draft_one(DraftModel & model, size_t slot, std::span<const Token> tokens, int32_t max_tokens = 8,
                             double min_probability = 0.75) {
    DraftJob job{slot, tokens, max_tokens, min_probability};
    model.draft({&job, 1});
    CHECK(job.caught_up);
    return job.proposal;
}

size_t n_equal(std::span<const Token> proposal, std::span<const Token> text) {
    size_t n = 0;
    while (n < proposal.size() && n < text.size() && proposal[n] == text[n]) {
        ++n;
    }
    return n;
}

// Sums differ a little with the number of tokens computed at once, so that a draft may end earlier.
bool agree(std::span<const Token> a, std::span<const Token> b) {
    return n_equal(a, b) == std::min(a.size(), b.size());
}

TEST_CASE("most of what it drafts is what the target says") {
    auto model = make();
    size_t n_drafted = 0;
    size_t n_accepted = 0;
    size_t n_steps = 0;
    size_t n_tokens = 0;
    for (size_t q = 0; q < questions.size(); ++q) {
        const auto text = answered(questions[q], 120);
        size_t at = prompt(questions[q]).size();
        n_tokens += text.size() - at;
        while (at < text.size()) {
            const auto proposal = draft_one(model, q % n_slots, std::span(text).first(at));
            const size_t accepted = n_equal(proposal, std::span(text).subspan(at));
            n_drafted += proposal.size();
            n_accepted += accepted;
            at += accepted + 1;
            ++n_steps;
        }
    }
    MESSAGE("the target accepts " << n_accepted << " of " << n_drafted << " drafted tokens: " << n_tokens
                                  << " tokens in " << n_steps << " steps");
    CHECK(n_drafted > 0);
    CHECK(2 * n_accepted > n_drafted);
    CHECK(model.clock().cost(1) > 0);
}

TEST_CASE("batched is isolated, whatever the slots held before") {
    auto batched = make();
    auto isolated = make();
    int n_same = 0;  // of 12
    for (size_t round = 0; round < 3; ++round) {
        std::vector<std::vector<Token>> texts;
        for (size_t slot = 0; slot < n_slots; ++slot) {
            texts.push_back(answered(questions[(slot + round) % questions.size()], 2 * slot + 1));
        }
        std::vector<DraftJob> jobs;
        for (size_t slot = 0; slot < n_slots; ++slot) {
            jobs.push_back({slot, texts[slot], static_cast<int32_t>(4 + slot)});
        }
        batched.draft(jobs);
        for (size_t slot = 0; slot < n_slots; ++slot) {
            CHECK(jobs[slot].caught_up);
            isolated.forget(0);
            const auto alone = draft_one(isolated, 0, texts[slot], static_cast<int32_t>(4 + slot));
            CHECK(agree(jobs[slot].proposal, alone));
            n_same += jobs[slot].proposal == alone ? 1 : 0;
        }
    }
    CHECK(n_same >= 10);
}

TEST_CASE("what was drafted or said and is no longer there is taken back") {
    auto model = make();
    auto fresh = make();
    const auto text = answered("Repeat after me: the quick brown fox jumps over the lazy dog", 10);
    for (const size_t n_cut : {size_t{1}, size_t{7}, size_t{3}, size_t{9}, size_t{4}}) {
        const auto said = std::span(text).first(text.size() - n_cut);
        const auto proposal = draft_one(model, 1, said);
        fresh.forget(1);
        CHECK(agree(proposal, draft_one(fresh, 1, said)));
        CHECK(agree(proposal, draft_one(model, 1, said)));
    }
}

TEST_CASE("it ends where it is not sure, and at max_tokens") {
    auto model = make();
    const auto text = prompt("Count from 1 to 40.");
    CHECK(draft_one(model, 0, text, 5, 0).size() == 5);
    CHECK(draft_one(model, 0, text, 5, 1.01).empty());
    CHECK(draft_one(model, 0, text, 0, 0).empty());
    CHECK(draft_one(model, 0, text, -1, 0).empty());
    const auto sure = draft_one(model, 0, text, 16, 0.75);
    const auto unsure = draft_one(model, 0, text, 16, 0.2);
    CHECK(sure.size() <= unsure.size());
    CHECK(agree(sure, unsure));
}

TEST_CASE("a draft holds no token that ends a generation") {
    auto model = make();
    const Tokenizer tokenizer(target());
    for (const auto & question : questions) {
        const auto text = answered(question, 120);
        for (const Token token : draft_one(model, 0, text, 16, 0)) {
            CHECK_FALSE(tokenizer.is_eog(token));
        }
    }
}

TEST_CASE("a long prompt is caught up in pieces and holds nobody up") {
    auto model = make(4096, 64);
    std::vector<Token> late;
    for (int i = 0; i < 20; ++i) {
        const auto more = prompt(questions[static_cast<size_t>(i) % questions.size()]);
        late.insert(late.end(), more.begin(), more.end());
    }
    const auto text = prompt("Count from 1 to 40.");
    int n_calls = 0;
    for (bool done = false; !done; ++n_calls) {
        std::vector<DraftJob> jobs{{0, late, 4, 0}, {1, text, 4, 0}};
        model.draft(jobs);
        CHECK(jobs[1].caught_up);
        CHECK(jobs[1].proposal.size() == 4);
        done = jobs[0].caught_up;
        CHECK(jobs[0].proposal.size() == (done ? 4 : 0));
        REQUIRE(n_calls < 100);
    }
    CHECK(n_calls >= static_cast<int>(late.size() / 64));
    auto whole = make();
    CHECK(agree(draft_one(model, 0, late), draft_one(whole, 0, late)));
}

TEST_CASE("catching up alone, then drafting") {
    auto model = make(4096, 16);
    const auto text = prompt("Repeat after me: the quick brown fox jumps over the lazy dog");
    DraftJob job{0, text, 0, 0};
    for (int i = 0; !job.caught_up; ++i) {
        model.draft({&job, 1});
        CHECK(job.proposal.empty());
        REQUIRE(i < 20);
    }
    model.draft({&job, 1});
    CHECK(job.caught_up);
    CHECK(draft_one(model, 0, text, 4, 0).size() == 4);
}

TEST_CASE("slots without a job make room; what does not fit gets nothing") {
    auto model = make(256, 512);
    std::vector<Token> text;
    while (text.size() < 150) {
        const auto more = prompt("Count from 1 to 40.");
        text.insert(text.end(), more.begin(), more.end());
    }
    text.resize(150);
    CHECK(draft_one(model, 0, text, 4, 0).size() == 4);
    CHECK(draft_one(model, 1, text, 4, 0).size() == 4);
    for (int i = 0; i < 3; ++i) {
        std::vector<DraftJob> jobs{{1, text, 4, 0}, {2, text, 4, 0}};
        model.draft(jobs);
        CHECK(jobs[0].proposal.size() == 4);
        CHECK_FALSE(jobs[1].caught_up);
        CHECK(jobs[1].proposal.empty());
    }
}

TEST_CASE("the end of the context is the end of the draft") {
    auto model = make(256, 512);
    std::vector<Token> text(254, prompt("Who are you?").front());
    CHECK(draft_one(model, 0, text, 8, 0).size() <= 3);
    for (const size_t n : {size_t{256}, size_t{300}}) {
        text.resize(n, text.front());
        DraftJob job{0, text, 8, 0};
        model.draft({&job, 1});
        CHECK(job.proposal.empty());
        CHECK_FALSE(job.caught_up);
    }
}

// The draft's file with the byte changed that is `offset` after the beginning of `text`.
std::filesystem::path changed(const std::string & text, size_t offset, char value) {
    std::ifstream file(data + "shimmy-mini-draft.gguf", std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const size_t at = bytes.find(text);
    REQUIRE(at != std::string::npos);
    bytes.at(at + offset) = value;
    const auto path = std::filesystem::temp_directory_path() /
                      ("shimmy-draft-" + std::to_string(getpid()) + "-" + std::to_string(at) + ".gguf");
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
}

std::string refusal(const std::filesystem::path & path) {
    const auto model = Model::load(path.string());
    std::filesystem::remove(path);
    try {
        DraftModel(model, *target(), small(), n_slots, 512);
    } catch (const InvalidRequestError & error) {
        CHECK(error.param == "draft_model");
        return error.what();
    }
    return {};
}

TEST_CASE("a draft with another vocabulary is refused, and the difference is named") {
    const Tokenizer tokenizer(target());
    Token token = 1000;
    while (tokenizer.piece(token).size() < 6 || tokenizer.piece(token).front() == ' ') {
        ++token;
    }
    const auto piece = tokenizer.piece(token);
    const auto in_file = std::string(1, static_cast<char>(piece.size())) + std::string(7, '\0') + piece;
    const auto other_text = refusal(changed(in_file, 8, '~'));
    CHECK(other_text.find("token " + std::to_string(token) + " is '~" + piece.substr(1) + "'") != std::string::npos);
    CHECK(other_text.find("the target's is '" + piece + "'") != std::string::npos);
    const std::string key = "tokenizer.ggml.add_bos_token";
    const auto other_bos = refusal(changed(key, key.size() + 4, '\1'));  // after the value's type
    CHECK(other_bos.find("its added BOS is token ") != std::string::npos);
    CHECK(other_bos.find("the target's is none") != std::string::npos);
}

TEST_CASE("bad jobs") {
    auto model = make();
    const auto text = prompt("Who are you?");
    std::vector<DraftJob> twice{{1, text, 4, 0}, {1, text, 4, 0}};
    CHECK_THROWS_AS(model.draft(twice), InvalidRequestError);
    std::vector<DraftJob> beyond{{n_slots, text, 4, 0}};
    CHECK_THROWS_AS(model.draft(beyond), InvalidRequestError);
    CHECK_THROWS_AS(model.forget(n_slots), InvalidRequestError);
    const std::vector<Token> unknown{1, 1000000, -7};
    std::vector<DraftJob> nothing{{0, {}, 4, 0}, {1, unknown, 4, 0}};
    model.draft(nothing);
    CHECK(nothing[0].proposal.empty());
    CHECK(nothing[1].proposal.empty());
    CHECK_FALSE(nothing[1].caught_up);
    model.draft({});
    CHECK_THROWS_AS(make(4096, 0), InvalidRequestError);
}

}  // namespace
}  // namespace shimmy
