#include "bindings/bind.h"

PYBIND11_MODULE(_core, m) {
    m.doc() =
        "The native runtime of shimmy: llama.cpp's objects with checked arguments, and the engine on top of them.";

    using namespace shimmy::bindings;
    bind_errors(m);
    bind_log(m);
    bind_backend_library(m);
    bind_device(m);
    bind_params(m);
    bind_gguf(m);
    bind_model(m);
    bind_tokenizer(m);
    bind_detokenizer(m);
    bind_batch(m);
    bind_kv_cache(m);
    bind_lora_adapter(m);
    bind_context(m);
    bind_sampler(m);
    bind_chat_format(m);
    bind_grammar(m);
    bind_request(m);
    bind_engine_fit(m);
    bind_engine(m);
    bind_embedder(m);
}
