// csrc/ggml/kept_graphs.h, as a context uses it.

#include <doctest/doctest.h>
#include <llama.h>

#include <cstdlib>
#include <random>
#include <vector>

#include "llama/context.h"
#include "llama/lora_adapter.h"

namespace shimmy {
namespace {

std::string data(const std::string & name) {
    return std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/" + name;
}

std::shared_ptr<Model> model() {
    static const auto loaded = Model::load(data("shimmy-mini.gguf"));
    return loaded;
}

Context open(bool keep, std::optional<BackendSampler::Where> where = std::nullopt, bool kv_unified = true) {
    setenv("LLAMA_GRAPH_REUSE_DISABLE", keep ? "0" : "1", 1);
    ContextParams params;
    params.n_ctx = 2048;
    params.n_seq_max = 4;
    params.n_threads = params.n_threads_batch = 1;
    params.kv_unified = kv_unified;
    return Context(model(), params, where);
}

int32_t n_reused(const Context & context) {
    return llama_perf_context(context.get()).n_reused;
}

struct Row {
    SeqId sequence;
    bool output;
    std::optional<Draw> draw;
};

// Batches of sequences that go on, in the same way for each that is made alike.
class Batches {
  public:
    Batch next(const std::vector<Row> & rows) {
        Batch batch;
        for (const auto & row : rows) {
            batch.add(100 + static_cast<Token>(random_() % 800), positions_[static_cast<size_t>(row.sequence)]++,
                      row.sequence, row.output, row.draw);
        }
        return batch;
    }

    // The sequence's cells were moved.
    void move(SeqId sequence, Pos delta) { positions_[static_cast<size_t>(sequence)] += delta; }

  private:
    std::minstd_rand random_{7};
    std::vector<Pos> positions_ = std::vector<Pos>(4);
};

std::vector<Row> rows(SeqId sequence, size_t n, size_t n_outputs, const std::optional<Draw> & draw = {}) {
    std::vector<Row> all;
    for (size_t i = 0; i < n; ++i) {
        all.push_back({sequence, i + n_outputs >= n, draw});
    }
    return all;
}

std::vector<Row> operator+(std::vector<Row> left, const std::vector<Row> & right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// What `kept` and `built` compute of the same batch, to the last bit.
void check_same(Context & kept, Context & built, const Batch & batch) {
    REQUIRE(kept.decode(batch) == DecodeStatus::Ok);
    REQUIRE(built.decode(batch) == DecodeStatus::Ok);
    for (int32_t i = 0; i < batch.n_tokens(); ++i) {
        if (batch.outputs()[static_cast<size_t>(i)]) {
            const auto wanted = built.row(i);
            const auto found = kept.row(i);
            CHECK(found.token == wanted.token);
            CHECK(std::equal(wanted.logits.begin(), wanted.logits.end(), found.logits.begin(), found.logits.end()));
        }
    }
}

TEST_CASE("graphs of shapes that come again are kept, and compute the same") {
    Context kept = open(true);
    Context built = open(false);
    Batches batches;
    const std::vector<std::vector<Row>> shapes = {rows(0, 1, 1),
                                                  rows(0, 3, 3),
                                                  rows(1, 65, 1),
                                                  rows(1, 10, 0),
                                                  rows(0, 1, 1) + rows(1, 1, 1),
                                                  rows(0, 2, 1) + rows(1, 5, 5)};
    for (int round = 0; round < 2; ++round) {
        const int32_t before = n_reused(kept);
        for (const auto & shape : shapes) {
            check_same(kept, built, batches.next(shape));
        }
        CHECK(n_reused(kept) - before == (round == 0 ? 0 : static_cast<int32_t>(shapes.size())));
    }
    CHECK(n_reused(built) == 0);
}

TEST_CASE("more shapes than graphs are kept") {
    Context kept = open(true);
    Context built = open(false);
    Batches batches;
    for (int round = 0; round < 2; ++round) {
        for (size_t n = 1; n < 14; ++n) {
            check_same(kept, built, batches.next(rows(0, n, n)));
        }
    }
    CHECK(n_reused(kept) == 0);
    const int32_t before = n_reused(kept);
    check_same(kept, built, batches.next(rows(0, 13, 13)));
    check_same(kept, built, batches.next(rows(0, 6, 6)));
    CHECK(n_reused(kept) - before == 2);
}

TEST_CASE("kept graphs choose the tokens of the batch they compute") {
    for (const bool kv_unified : {true, false}) {
        CAPTURE(kv_unified);
        Context kept = open(true, BackendSampler::Where::Anywhere, kv_unified);
        Context built = open(false, BackendSampler::Where::Anywhere, kv_unified);
        Batches batches;
        std::minstd_rand random{5};
        auto draw = [&] { return Draw{0.8F, static_cast<float>(random() % 1000) / 1000}; };
        for (int round = 0; round < 4; ++round) {
            check_same(kept, built, batches.next(rows(0, 1, 1, Draw()) + rows(1, 1, 1, draw())));
            check_same(kept, built, batches.next(rows(2, 20, 0)));
            check_same(kept, built, batches.next(rows(0, 3, 3, draw()) + rows(1, 1, 1)));
            check_same(kept, built,
                       batches.next(rows(0, 1, 1) + rows(1, 1, 1, draw())));  // the first one's, for others
            check_same(kept, built, batches.next(rows(2, 1, 1, draw())));
        }
        CHECK(n_reused(kept) > 8);
    }
}

TEST_CASE("adapters, cells that move and a saved state come between kept graphs") {
    Context kept = open(true);
    Context built = open(false);
    Batches batches;
    auto once = [&] {
        check_same(kept, built, batches.next(rows(0, 1, 1)));
        check_same(kept, built, batches.next(rows(0, 4, 4)));
    };
    once();
    const auto adapter = LoraAdapter::load(model(), data("shimmy-mini-pirate-lora.gguf"));
    for (Context * context : {&kept, &built}) {
        context->set_adapters({{adapter, 1.0}});
    }
    once();
    for (Context * context : {&kept, &built}) {
        context->set_adapters({});
        context->kv_cache().seq_rm(0, 2, 4);
        context->kv_cache().seq_add(0, 4, -1, -2);
    }
    batches.move(0, -2);
    once();
}

}  // namespace
}  // namespace shimmy
