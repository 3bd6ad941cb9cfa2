// The engine under many threads at once, on the demo model. Made for SHIMMY_SANITIZE=thread and address,undefined.

#include <cstdlib>
#include <string>

#include "engine_stress.h"

namespace shimmy {
namespace {

// Of all runs together.
double all_seconds() {
    const char * wanted = std::getenv("SHIMMY_STRESS_SECONDS");
    return wanted ? std::atof(wanted) : 4;
}

double seconds() {
    constexpr double n_runs = 8;
    return all_seconds() / n_runs;
}

EngineStress::Options options(bool kv_unified) {
    EngineStress::Options options;
    options.context.n_ctx = kv_unified ? 256 : 4 * 256;
    options.context.n_batch = 128;
    options.context.n_ubatch = 64;
    options.context.n_threads = 1;
    options.context.kv_unified = kv_unified;
    options.engine.max_num_seqs = kv_unified ? 6 : 4;
    options.engine.max_waiting = 12;
    options.engine.prefill_budget = 64;
    options.engine.cache_ram_mib = 1;
    options.engine.sampling_threads = 2;
    options.engine.max_draft = 6;
    options.engine.adaptive_draft = false;  // sanitizers make steps so slow that no draft would pay
    return options;
}

TEST_CASE("requests, cancels, adapters and prefixes from many threads: every request ends exactly once") {
    auto how = options(true);
    SUBCASE("a small pool") {
        how.context.n_threads = 2;
    }
    SUBCASE("a small pool, without host memory") {
        how.engine.cache_ram_mib = 0;
    }
    SUBCASE("a pool for each sequence") {
        how = options(false);
    }
    SUBCASE("with greedy tokens from the backend") {
        how.engine.backend_sampling = "on";
    }
    SUBCASE("with a draft model") {
        how.draft = true;
    }
    SUBCASE("a deterministic engine") {
        how = options(false);
        how.engine.deterministic = true;
    }
    SUBCASE("stepped by its callers") {
        how.stepped = true;
    }
    how.counts = all_seconds() >= 60;
    EngineStress(how).run(seconds(), false);
}

TEST_CASE("a shutdown in the middle ends every request exactly once") {
    for (int i = 0; i < 4; ++i) {
        auto how = options(i % 2 == 0);
        how.draft = i < 2;
        EngineStress(how).run(seconds() / 4, true);
    }
}

TEST_CASE("what was cached before start() is still there after it") {
    auto how = options(true);
    how.engine.cache_ram_mib = 0;
    Engine engine(demo_model(), how.context, how.engine);
    const auto ask = [&] {
        Request request;
        request.prompt = chat(0, 2);
        request.max_tokens = 12;
        request.sampling.temperature = 0;
        return engine.add_request(std::move(request));
    };
    const auto first = ask();
    while (engine.step()) {
    }
    std::string text;
    for (const auto & output : engine.wait(std::chrono::milliseconds(0))) {
        CHECK(output.id == first);
        text += output.text;
    }
    engine.start();
    ask();
    std::string again;
    for (auto reason = FinishReason::None; reason == FinishReason::None;) {
        for (const auto & output : engine.wait(std::chrono::seconds(10))) {
            again += output.text;
            reason = output.finish_reason;
            CHECK((reason == FinishReason::None || output.usage.cached_tokens > 0));
        }
    }
    CHECK(engine.death().empty());
    CHECK(again == text);
}

}  // namespace
}  // namespace shimmy
