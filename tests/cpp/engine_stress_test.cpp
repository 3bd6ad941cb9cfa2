// The engine under many threads at once, on the demo model. Made for SHIMMY_SANITIZE=thread.

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "errors.h"

namespace shimmy {
namespace {

const std::string data = std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/";
constexpr size_t n_requests = 40;  // of each thread

// Takes outputs until `done`, and counts the last ones of each request.
std::map<RequestId, int> collect(Engine & engine, const std::atomic<bool> & done) {
    std::map<RequestId, int> ended;
    for (;;) {
        const bool last_call = done.load();
        const auto outputs = engine.wait(std::chrono::milliseconds(20));
        for (const auto & output : outputs) {
            ended[output.id] += output.finish_reason == FinishReason::None ? 0 : 1;
        }
        if (last_call && outputs.empty()) {
            return ended;
        }
    }
}

Request small_request(const std::vector<Token> & prompt, int i) {
    Request request;
    request.prompt = prompt;
    request.prompt.resize(prompt.size() - static_cast<size_t>(i) % 8);
    request.max_tokens = i % 4;
    request.sampling.seed = static_cast<uint32_t>(i);
    request.stop = {"tiny"};
    if (i % 3 == 0) {
        request.lora = {{i % 2 == 0 ? "pirate" : "terse", 1.0}};
    }
    return request;
}

std::vector<RequestId> add_and_cancel(Engine & engine, const std::vector<Token> & prompt) {
    std::vector<RequestId> ids;
    for (int i = 0; ids.size() < n_requests; ++i) {
        try {
            ids.push_back(engine.add_request(small_request(prompt, i)));
        } catch (const ModelNotFoundError &) {
            continue;
        } catch (const QueueFullError &) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        if (i % 5 == 0) {
            engine.cancel(ids[ids.size() / 2]);
            engine.cancel(ids.back());
        }
        engine.stats();
    }
    return ids;
}

void load_and_unload(Engine & engine, const std::string & name, const std::atomic<bool> & done) {
    while (!done) {
        engine.load_adapter(name, data + "shimmy-mini-" + name + "-lora.gguf");
        CHECK(!engine.adapters().empty());
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        engine.unload_adapter(name);
    }
}

TEST_CASE("requests, cancels and adapters from many threads: every request ends exactly once") {
    const auto model = Model::load(data + "shimmy-mini.gguf");
    const std::string text =
        "<|im_start|>user\nWho are you? Who are you? Who are you?<|im_end|>\n<|im_start|>assistant\n";
    const auto prompt = Tokenizer(model).encode(text, false, true);
    for (const bool kv_unified : {true, false}) {
        ContextParams context;
        context.n_ctx = 512;
        context.n_batch = 64;
        context.n_ubatch = 32;
        context.n_threads = 2;
        context.kv_unified = kv_unified;
        EngineParams params;
        params.max_num_seqs = 4;
        params.max_waiting = 32;
        Engine engine(model, context, params);

        std::atomic<bool> added{false};
        std::atomic<bool> done{false};
        std::map<RequestId, int> ended;
        std::thread collector([&] { ended = collect(engine, done); });
        std::vector<std::vector<RequestId>> ids(4);
        std::vector<std::thread> threads;
        threads.emplace_back([&] { engine.start(); });
        for (auto & mine : ids) {
            threads.emplace_back([&] { mine = add_and_cancel(engine, prompt); });
        }
        std::thread pirate([&] { load_and_unload(engine, "pirate", added); });
        std::thread terse([&] { load_and_unload(engine, "terse", added); });
        for (auto & thread : threads) {
            thread.join();
        }
        added = true;
        pirate.join();
        terse.join();
        std::thread other([&] { engine.shutdown(); });
        engine.shutdown();
        other.join();
        done = true;
        collector.join();

        CHECK(engine.death().empty());
        CHECK(engine.stats().waiting == 0);
        for (const auto & mine : ids) {
            for (const RequestId id : mine) {
                CHECK(ended[id] == 1);
            }
        }
        CHECK(ended.size() == 4 * n_requests);
        CHECK(engine.stats().requests_finished == ended.size());
        CHECK_THROWS_AS(engine.add_request(Request{.prompt = prompt}), EngineDeadError);
    }
}

}  // namespace
}  // namespace shimmy
