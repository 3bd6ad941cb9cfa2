#include "llama/backend_sampler.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "llama/context.h"

namespace shimmy {
namespace {

Context open(std::optional<BackendSampler::Where> where) {
    ModelParams model;
    ContextParams params;
    params.n_ctx = 256;
    params.n_threads = params.n_threads_batch = 1;
    return Context(Model::load(std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/shimmy-mini.gguf", model), params,
                   where);
}

TEST_CASE("where the device finds no tokens, logits come to the host") {
    Context host = open(std::nullopt);
    Context unsupported = open(BackendSampler::Where::Gpu);  // but this computes on a CPU
    for (Context * context : {&host, &unsupported}) {
        Batch batch;
        for (int32_t i = 0; i < 4; ++i) {
            batch.add(100 + i, i, 0, i > 1, Draw());
        }
        REQUIRE(context->decode(batch) == DecodeStatus::Ok);
        CHECK(!context->row(3).logits.empty());
    }
    for (const int32_t i : {2, 3}) {
        const auto wanted = host.logits(i);
        const auto found = unsupported.logits(i);
        CHECK(std::equal(wanted.begin(), wanted.end(), found.begin(), found.end()));
    }
}

}  // namespace
}  // namespace shimmy
