// Which sequences a draft model works for, and when it lets go of them: a batcher on the demo model and its draft.
#include "engine/speculation.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engine/batcher.h"

namespace shimmy {
namespace {

const std::string data = std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/";

std::shared_ptr<Model> load(const std::string & name) {
    return Model::load(data + name);
}

ContextParams context_params(uint32_t n_ctx) {
    ContextParams params;
    params.n_ctx = n_ctx;
    params.n_batch = params.n_ubatch = 256;
    params.n_seq_max = 4;
    params.n_outputs_max = 128;
    params.n_threads = 1;
    params.kv_unified = true;
    return params;
}

struct Fixture {
    explicit Fixture(uint32_t n_ctx = 2048) : context(target(), context_params(n_ctx)) {
        engine_params.adaptive_draft = false;
        rules.n_ctx = n_ctx;
        auto drafter =
            std::make_unique<DraftModel>(load("shimmy-mini-draft.gguf"), *target(), context.params(), 4, n_ctx);
        model = drafter.get();
        batcher.emplace(context, inbox, rules, engine_params, std::move(drafter));
    }

    static const std::shared_ptr<Model> & target() {
        static const auto model = load("shimmy-mini.gguf");
        return model;
    }

    RequestId ask(const std::string & question, AdapterSetId adapters = 0, std::optional<int64_t> max_tokens = {},
                  std::optional<double> deadline = {}) {
        Request request;
        request.prompt = rules.tokenizer->encode(
            "<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n", false, true);
        request.sampling.temperature = 0;
        request.max_tokens = max_tokens;
        request.deadline = deadline;
        request.ignore_eos = true;
        const auto id = inbox.enter_queue(request.prompt.size());
        AdapterPlan plan;
        plan.all.id = plan.before.id = adapters;
        inbox.put(std::make_unique<Sequence>(id, std::move(request), std::move(plan), rules, nullptr));
        return id;
    }

    std::vector<size_t> cells() const {
        std::vector<size_t> cells;
        for (size_t slot = 0; slot < 4; ++slot) {
            cells.push_back(model->n_cells(slot));
        }
        return cells;
    }

    size_t total() const {
        size_t total = 0;
        for (const size_t n : cells()) {
            total += n;
        }
        return total;
    }

    void step_until_drafted() {
        for (int i = 0; i < 60 && total() == 0; ++i) {
            REQUIRE(batcher->step());
        }
        REQUIRE(total() > 0);
    }

    Context context;
    Inbox inbox{64, 1 << 20};
    SequenceRules rules{std::make_shared<Tokenizer>(target()), 0, 0, 8};
    EngineParams engine_params;
    DraftModel * model = nullptr;
    std::optional<Batcher> batcher;
};

}  // namespace

TEST_CASE("whichever way a request ends, its draft is forgotten") {
    SUBCASE("cancelled") {
        Fixture fixture;
        const auto id = fixture.ask("Count to 60.");
        fixture.step_until_drafted();
        fixture.inbox.cancel(id, [] {});
        fixture.batcher->step();
        CHECK(fixture.total() == 0);
    }
    SUBCASE("out of time") {
        Fixture fixture;
        fixture.ask("Count to 60.", 0, {}, 0.2);
        while (fixture.batcher->step()) {
            fixture.batcher->take_outputs();
        }
        CHECK(fixture.total() == 0);
    }
    SUBCASE("at its length") {
        Fixture fixture;
        fixture.ask("Count to 60.", 0, 40);
        while (fixture.batcher->step()) {
            fixture.batcher->take_outputs();
        }
        CHECK(fixture.total() == 0);
    }
    SUBCASE("at the end of its cells") {
        Fixture fixture(256);
        fixture.ask("Count to 60.");
        while (fixture.batcher->step()) {
            fixture.batcher->take_outputs();
        }
        CHECK(fixture.total() == 0);
    }
    SUBCASE("all at once") {
        Fixture fixture;
        fixture.ask("Count to 60.");
        fixture.ask("Count to 30.");
        fixture.step_until_drafted();
        fixture.batcher->end_all(FinishReason::Cancelled);
        CHECK(fixture.total() == 0);
    }
}

TEST_CASE("one that is preempted is forgotten until it comes back") {
    Fixture fixture(256);
    for (int i = 0; i < 4; ++i) {
        fixture.ask("Count to 60.");
    }
    bool preempted = false;
    while (fixture.batcher->step()) {
        fixture.batcher->take_outputs();
        const auto stats = fixture.batcher->stats();
        size_t n_drafting = 0;
        for (const size_t n : fixture.cells()) {
            n_drafting += n > 0 ? 1 : 0;
        }
        CHECK(n_drafting <= stats.running);
        preempted = preempted || stats.preemptions > 0;
    }
    CHECK(preempted);
    CHECK(fixture.total() == 0);
}

TEST_CASE("a step of one adapter set asks for no drafts of another") {
    Fixture fixture;
    fixture.ask("Count to 60.", 1, 60);
    fixture.ask("Count to 60.", 2, 60);
    fixture.step_until_drafted();
    int n_changes = 0;
    for (auto before = fixture.cells(); fixture.batcher->step(); before = fixture.cells()) {
        fixture.batcher->take_outputs();
        const auto after = fixture.cells();
        int n_grown = 0;
        for (size_t slot = 0; slot < after.size(); ++slot) {
            n_grown += after[slot] > before[slot] ? 1 : 0;
        }
        CHECK(n_grown <= 1);
        n_changes += n_grown;
    }
    CHECK(n_changes > 2);
}

namespace {

// A sequence that has just begun to answer a prompt of one line over and over.
std::unique_ptr<Sequence> repeating(const SequenceRules & rules) {
    Request request;
    std::string line;
    for (int i = 0; i < 6; ++i) {
        line += "one two three four five six seven eight nine ten\n";
    }
    request.prompt = rules.tokenizer->encode(line, false, true);
    request.sampling.temperature = 0;
    const Token next = request.prompt.front();
    auto sequence = std::make_unique<Sequence>(1, std::move(request), AdapterPlan{}, rules, nullptr);
    sequence->admitted(0, CacheMiss::None);
    std::vector<float> logits(static_cast<size_t>(rules.tokenizer->n_vocab()));
    logits[static_cast<size_t>(next)] = 9;
    const std::vector<OutputRow> rows{{logits}};
    Output output;
    sequence->advance({0, sequence->n_pending(), true, 0, 1}, rows, output);
    REQUIRE(sequence->decoding());
    return sequence;
}

// Tokens drafted for it where a step of 8 tokens takes so many times as long as one of one.
size_t n_drafted(Sequence & sequence, double ratio, int32_t n_others = 0) {
    Speculation speculation(8, true, nullptr);
    for (int i = 0; i < 40; ++i) {
        speculation.observe(1, 0.010);
        speculation.observe(8, 0.010 * ratio);
        speculation.observe(16, 0.020 * ratio);
    }
    const std::vector<Speculation::Candidate> candidates{{0, &sequence}};
    speculation.propose(candidates, 1 + n_others, 1 + n_others, 64);
    return sequence.drafts()->tokens.size();
}

}  // namespace

TEST_CASE("drafts are made where steps of several tokens are cheap, and not where they are dear") {
    const SequenceRules rules{std::make_shared<Tokenizer>(Fixture::target()), 2048, 0, 8};
    const auto sequence = repeating(rules);
    CHECK(n_drafted(*sequence, 1.2) >= 4);
    CHECK(n_drafted(*sequence, 8.5) == 0);
    CHECK(n_drafted(*sequence, 8.5, 7) == 0);
}

TEST_CASE("nothing is drafted before it is known what a step costs, which a probe finds out and leaves no trace") {
    const SequenceRules rules{std::make_shared<Tokenizer>(Fixture::target()), 2048, 0, 8};
    const auto sequence = repeating(rules);
    Speculation speculation(8, true, nullptr);
    const std::vector<Speculation::Candidate> candidates{{0, sequence.get()}};
    speculation.propose(candidates, 1, 1, 64);
    CHECK(sequence->drafts()->tokens.empty());
    CHECK_FALSE(speculation.ready());

    Fixture fixture;
    fixture.batcher->probe();
    CHECK(fixture.batcher->knows_step_costs());
    CHECK(fixture.batcher->stats().kv_cells_used == 0);
    CHECK(fixture.context.kv_cache().seq_pos_max(0) == -1);
}

}  // namespace shimmy
