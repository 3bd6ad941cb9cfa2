#include "engine/engine.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"

namespace shimmy::bindings {
namespace {

RequestId add_request(Engine & engine, std::vector<Token> prompt, const SamplingParams & sampling,
                      std::optional<int64_t> max_tokens, std::vector<std::string> stop,
                      std::vector<Token> stop_token_ids, bool ignore_eos, std::optional<int32_t> logprobs,
                      std::vector<std::pair<std::string, double>> lora, std::vector<Token> preserved_tokens) {
    py::gil_scoped_release unlocked;
    return engine.add_request({std::move(prompt), sampling, max_tokens, std::move(stop), std::move(stop_token_ids),
                               ignore_eos, logprobs, std::move(lora), std::move(preserved_tokens)});
}

void bind_stats(py::module_ & m) {
    py::class_<EngineStats>(m, "EngineStats", "Counters of an engine, since its start unless said otherwise.")
        .def_readonly("running", &EngineStats::running, "Requests holding a sequence now.")
        .def_readonly("waiting", &EngineStats::waiting, "Requests queued now.")
        .def_readonly("kv_cells_used", &EngineStats::kv_cells_used, "Now, by running requests and kept prefixes.")
        .def_readonly("kv_cells_total", &EngineStats::kv_cells_total)
        .def_readonly("steps", &EngineStats::steps)
        .def_readonly("preemptions", &EngineStats::preemptions)
        .def_readonly("requests_finished", &EngineStats::requests_finished)
        .def_readonly("prompt_tokens", &EngineStats::prompt_tokens)
        .def_readonly("cached_tokens", &EngineStats::cached_tokens)
        .def_readonly("completion_tokens", &EngineStats::completion_tokens)
        .def_readonly("step_seconds", &EngineStats::step_seconds, "Spent in steps.")
        .def_readonly("decode_seconds", &EngineStats::decode_seconds, "Of that, inside llama_decode.");
}

}  // namespace

void bind_engine(py::module_ & m) {
    bind_stats(m);
    py::class_<Engine>(m, "Engine", "Continuous batching: many requests share one context, one step at a time.")
        .def(py::init([](std::shared_ptr<Model> model, const ContextParams & context, const EngineParams & params) {
                 py::gil_scoped_release unlocked;
                 return std::make_unique<Engine>(std::move(model), context, params);
             }),
             py::arg("model").none(false), py::arg("context") = ContextParams{}, py::arg("params") = EngineParams{},
             "Makes its own context. Raises InvalidRequestError (parameters) and ModelLoadError (no memory).")
        .def("start", &Engine::start, ReleaseGil(),
             "Run steps on a thread of the engine's own, whenever there is work.")
        .def("shutdown", &Engine::shutdown, ReleaseGil(),
             "Cancel everything and end the thread. Later requests raise EngineDeadError. Idempotent.")
        .def("add_request", &add_request, py::arg("prompt"), py::arg("sampling") = SamplingParams{}, py::kw_only(),
             py::arg("max_tokens") = std::nullopt, py::arg("stop") = std::vector<std::string>{},
             py::arg("stop_token_ids") = std::vector<Token>{}, py::arg("ignore_eos") = false,
             py::arg("logprobs") = std::nullopt, py::arg("lora") = std::vector<std::pair<std::string, double>>{},
             py::arg("preserved_tokens") = std::vector<Token>{},
             "Queue a request for token ids and return its id. `max_tokens` None: until the context is full; "
             "`logprobs`:\n"
             "alternatives per token, 0 to 20; `lora`: (adapter name, scale) pairs; `preserved_tokens`: control tokens "
             "that\n"
             "are written out. Raises InvalidRequestError, PromptTooLongError, ModelNotFoundError (adapter), "
             "QueueFullError\n"
             "or EngineDeadError; nothing is queued then.")
        .def("cancel", &Engine::cancel, py::arg("request_id"), ReleaseGil(),
             "End a request wherever it stands; its last output says CANCELLED. Unknown ids are ignored.")
        .def("step", &Engine::step, ReleaseGil(),
             "One step, on the caller's thread. Not while start() runs. False when there was nothing to do.")
        .def(
            "wait",
            [](Engine & self, double timeout) {
                const auto milliseconds = static_cast<int64_t>(std::max(0.0, std::min(timeout, 3600.0)) * 1000);
                return self.wait(std::chrono::milliseconds(milliseconds));
            },
            py::arg("timeout") = 0.1, ReleaseGil(),
            "All outputs since the last call, waiting up to `timeout` seconds for the first.")
        .def("load_adapter", &Engine::load_adapter, py::arg("name"), py::arg("path"), ReleaseGil(),
             "Load a LoRA adapter, or replace the one of that name for later requests. Raises ModelLoadError.")
        .def("unload_adapter", &Engine::unload_adapter, py::arg("name"), ReleaseGil(),
             "Forget an adapter; requests that use it finish with it. Raises ModelNotFoundError.")
        .def_property_readonly("adapters", &Engine::adapters, "Names of the loaded adapters.")
        .def_property_readonly("stats", &Engine::stats)
        .def_property_readonly("death", &Engine::death, "Why it died; empty while it lives.")
        .def_property_readonly("n_ctx", &Engine::n_ctx, "Tokens that one request may take, prompt and completion.")
        .def_property_readonly(
            "n_seq_max", [](const Engine & self) { return self.context().n_seq_max(); },
            "Requests that can run at once.")
        .def_property_readonly("n_threads", [](const Engine & self) { return self.context().n_threads(); })
        .def_property_readonly(
            "tokenizer", [](const Engine & self) { return std::const_pointer_cast<Tokenizer>(self.tokenizer()); });
}

}  // namespace shimmy::bindings
