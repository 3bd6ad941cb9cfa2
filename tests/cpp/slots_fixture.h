#pragma once
// Slots on the demo model, driven without an engine.

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/slots.h"
#include "errors.h"

namespace shimmy {

using Tokens = std::vector<Token>;

struct SlotsFixture {
    struct Options {
        uint32_t n_ctx = 2048;
        uint32_t n_seq_max = 4;
        bool kv_unified = true;
        int32_t cache_ram_mib = 0;
        bool keep = true;
        std::string type_k = "f16";
    };

    static std::string data() { return std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/"; }
    static std::shared_ptr<Model> demo_model() {
        static const auto model = Model::load(data() + "shimmy-mini.gguf");
        return model;
    }
    static ContextParams context_params(const Options & options) {
        ContextParams params;
        params.n_ctx = options.n_ctx;
        params.n_batch = params.n_ubatch = 512;
        params.n_seq_max = options.n_seq_max;
        params.n_threads = 1;
        params.kv_unified = options.kv_unified;
        params.type_k = options.type_k;
        return params;
    }

    explicit SlotsFixture(const Options & options)
        : context(demo_model(), context_params(options)), slots(context, options.keep, options.cache_ram_mib) {}

    // A conversation of at least n tokens that ends with a question.
    Tokens chat(const std::string & question, size_t n = 0, const std::string & topic = "fox") const {
        std::string text = "<|im_start|>system\nYou are Shimmy Mini, a tiny demo model.<|im_end|>\n";
        Tokens tokens;
        do {
            tokens = tokenizer->encode(text + "<|im_start|>user\n" + question + "<|im_end|>\n<|im_start|>assistant\n",
                                       false, true);
            text += "<|im_start|>user\nShow me a " + topic + " emoji<|im_end|>\n<|im_start|>assistant\n" + topic +
                    "<|im_end|>\n";
        } while (tokens.size() < n);
        return tokens;
    }

    std::unique_ptr<Sequence> sequence(const Tokens & prompt, const std::string & tenant = "",
                                       AdapterSetId adapters = 0) {
        Request request;
        request.prompt = prompt;
        request.tenant = tenant;
        request.sampling.temperature = 0;
        request.max_tokens = 64;
        return std::make_unique<Sequence>(++next_id, std::move(request), AdapterPlan{{adapters, {}}, {}, 0},
                                          SequenceRules{tokenizer, context.n_ctx_seq()}, nullptr);
    }

    size_t place(std::unique_ptr<Sequence> request) {
        const auto placing = slots.place(request, ++step);
        REQUIRE(placing.outcome == Placing::Outcome::Placed);
        return placing.slot;
    }
    size_t place(const Tokens & prompt, const std::string & tenant = "") { return place(sequence(prompt, tenant)); }

    // Compute up to n pending tokens of a running slot.
    DecodeStatus compute(size_t slot, int32_t n = 1 << 20) {
        auto & sequence = *slots[slot].sequence;
        n = std::min({n, sequence.n_pending(), 512});
        const bool last = n == sequence.n_pending();
        const Share share{slot, n, last, 0, last ? 1 : 0};
        Batch batch;
        Pos pos = sequence.n_computed();
        for (const Token token : sequence.tokens_of(share)) {
            ++pos;
            batch.add(token, pos - 1, static_cast<SeqId>(slot), last && pos == sequence.n_computed() + n);
        }
        slots.evict_for(static_cast<size_t>(n));
        const auto status = context.decode(batch);
        if (status == DecodeStatus::Ok) {
            slots[slot].last_step = ++step;
            std::vector<OutputRow> rows;
            if (last) {
                rows.push_back({context.logits(-1)});
            }
            output = {};
            sequence.advance(share, rows, output);
            slots.computed(slot);
        }
        return status;
    }

    // Answer a placed request to its end, and release it.
    std::string answer(size_t slot) {
        std::string text;
        for (;;) {
            REQUIRE(compute(slot) == DecodeStatus::Ok);
            text += output.text;
            if (output.finish_reason != FinishReason::None) {
                usage = output.usage;
                slots.release(slot, true);
                return text;
            }
        }
    }
    std::string ask(const Tokens & prompt, const std::string & tenant = "") { return answer(place(prompt, tenant)); }

    // Whether n more cells are free, tried out on sequence 0.
    bool has_room(size_t n) {
        Batch batch;
        const Pos start = context.kv_cache().seq_pos_max(0) + 1;
        for (size_t i = 0; i < n; ++i) {
            batch.add(1, start + static_cast<Pos>(i), 0, false);
        }
        const bool room = n == 0 || context.decode(batch) == DecodeStatus::Ok;
        REQUIRE(context.kv_cache().seq_rm(0, start, -1));
        return room;
    }
    // llama.cpp counts as we do: this many cells are free and not one more.
    void check_cells() {
        REQUIRE(slots.cells_used() <= context.n_ctx());
        const size_t free = context.n_ctx() - slots.cells_used();
        REQUIRE(has_room(free));
        if (free < context.n_batch()) {
            REQUIRE_FALSE(has_room(free + 1));
        }
    }

    Context context;
    Slots slots;
    std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<Tokenizer>(demo_model());
    uint64_t step = 0;
    RequestId next_id = 0;
    Output output;  // of the last compute()
    Usage usage;    // of the last answer
};

}  // namespace shimmy
