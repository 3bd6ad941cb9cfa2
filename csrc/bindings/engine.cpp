#include "engine/engine.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/file_path.h"
#include "grammar/grammar.h"

namespace shimmy::bindings {
namespace {

using Lora = std::vector<std::pair<std::string, double>>;

RequestId add_request(Engine & engine, std::vector<Token> prompt, SamplingParams sampling,
                      std::optional<int64_t> max_tokens, int64_t min_tokens, std::vector<std::string> stop,
                      std::vector<Token> stop_token_ids, bool ignore_eos, std::vector<std::string> banned_strings,
                      std::optional<int32_t> logprobs, std::optional<int32_t> prompt_logprobs, bool token_healing,
                      std::optional<std::shared_ptr<Grammar>> grammar, std::vector<std::pair<std::string, double>> lora,
                      std::vector<Token> preserved_tokens, bool speculation, std::string tenant, int32_t priority,
                      std::optional<double> deadline, std::optional<int64_t> n_keep, std::vector<Token> answered) {
    py::gil_scoped_release unlocked;
    Request request;
    request.prompt = std::move(prompt);
    request.sampling = std::move(sampling);
    request.max_tokens = max_tokens;
    request.min_tokens = min_tokens;
    request.stop = std::move(stop);
    request.stop_token_ids = std::move(stop_token_ids);
    request.ignore_eos = ignore_eos;
    request.banned_strings = std::move(banned_strings);
    request.logprobs = logprobs;
    request.prompt_logprobs = prompt_logprobs;
    request.token_healing = token_healing;
    request.grammar = grammar.value_or(nullptr);
    request.lora = std::move(lora);
    request.preserved_tokens = std::move(preserved_tokens);
    request.speculation = speculation;
    request.tenant = std::move(tenant);
    request.priority = priority;
    request.deadline = deadline;
    request.n_keep = n_keep;
    request.answered = std::move(answered);
    return engine.add_request(std::move(request));
}

void bind_stats(py::module_ & m) {
    py::class_<EngineStats>(m, "EngineStats", "Counters of an engine, since its start unless said otherwise.")
        .def_readonly("running", &EngineStats::running, "Requests holding a sequence now.")
        .def_readonly("waiting", &EngineStats::waiting, "Requests queued now.")
        .def_readonly("kv_cells_used", &EngineStats::kv_cells_used, "Now, by running requests and kept prefixes.")
        .def_readonly("kv_cells_total", &EngineStats::kv_cells_total)
        .def_readonly("steps", &EngineStats::steps)
        .def_readonly("preemptions", &EngineStats::preemptions)
        .def_readonly("forks", &EngineStats::forks, "Requests that began on another sequence's cells.")
        .def_readonly("requests_finished", &EngineStats::requests_finished)
        .def_readonly("prompt_tokens", &EngineStats::prompt_tokens)
        .def_readonly("cached_tokens", &EngineStats::cached_tokens)
        .def_readonly("computed_tokens", &EngineStats::computed_tokens,
                      "That went through the model: prompts, completions and drafts.")
        .def_readonly("completion_tokens", &EngineStats::completion_tokens)
        .def_readonly("backend_rows", &EngineStats::backend_rows,
                      "Outputs whose token was found where the logits were computed.")
        .def_readonly("drafted_tokens", &EngineStats::drafted_tokens, "Proposed by speculation.")
        .def_readonly("accepted_tokens", &EngineStats::accepted_tokens, "Of those, that came out.")
        .def_readonly("tokens_per_second", &EngineStats::tokens_per_second,
                      "Of completions, lately: over about two seconds of steps that made some.")
        .def_readonly("step_seconds", &EngineStats::step_seconds, "Spent in steps.")
        .def_readonly("decode_seconds", &EngineStats::decode_seconds, "Of that, inside llama_decode.");
}

}  // namespace

void bind_engine(py::module_ & m) {
    bind_stats(m);
    py::class_<Engine>(m, "Engine", "Continuous batching: many requests share one context, one step at a time.")
        .def(py::init([](std::shared_ptr<Model> model, ContextParams context, EngineParams params,
                         std::optional<std::shared_ptr<Model>> draft) {
                 py::gil_scoped_release unlocked;
                 return std::make_unique<Engine>(std::move(model), context, params, draft.value_or(nullptr));
             }),
             py::arg("model").none(false), py::arg("context") = ContextParams{}, py::arg("params") = EngineParams{},
             py::arg("draft") = std::nullopt,
             "Makes its own context. `draft`: a small model of the same vocabulary that proposes tokens. Raises "
             "InvalidRequestError (parameters) and ModelLoadError (no memory).")
        .def("start", &Engine::start, ReleaseGil(),
             "Run steps on a thread of the engine's own, whenever there is work.")
        .def("shutdown", &Engine::shutdown, ReleaseGil(),
             "Cancel everything and end the thread. Later requests raise EngineDeadError. Idempotent.")
        .def("add_request", &add_request, py::arg("prompt"), py::arg("sampling") = SamplingParams{}, py::kw_only(),
             py::arg("max_tokens") = std::nullopt, py::arg("min_tokens") = 0,
             py::arg("stop") = std::vector<std::string>{}, py::arg("stop_token_ids") = std::vector<Token>{},
             py::arg("ignore_eos") = false, py::arg("banned_strings") = std::vector<std::string>{},
             py::arg("logprobs") = std::nullopt, py::arg("prompt_logprobs") = std::nullopt,
             py::arg("token_healing") = false, py::arg("grammar") = std::nullopt,
             py::arg("lora") = std::vector<std::pair<std::string, double>>{},
             py::arg("preserved_tokens") = std::vector<Token>{}, py::arg("speculation") = true, py::arg("tenant") = "",
             py::arg("priority") = 0, py::arg("deadline") = std::nullopt, py::arg("n_keep") = std::nullopt,
             py::arg("answered") = std::vector<Token>{},
             "Queue a request for token ids and return its id. `max_tokens` None: until the context is full;\n"
             "`min_tokens`: no end before that many; `banned_strings` never occur in the text (the answer is rolled\n"
             "back); `logprobs`, `prompt_logprobs`: alternatives per token, 0 to 20; `token_healing`: the answer may\n"
             "choose anew how the end of the prompt is cut into tokens; `grammar`: what the answer\n"
             "has to look like; `lora`: (adapter name, scale) pairs;\n"
             "`preserved_tokens`: control tokens that are written out; `speculation`: drafts may be checked for it, "
             "which\n"
             "changes no answer; `tenant`: shares prefixes with nobody else and\n"
             "gets its share of the engine; `priority`: lower is earlier; `deadline`: seconds until its last output\n"
             "says DEADLINE; `n_keep`: at the end of the context the answer goes on without half of the tokens after "
             "the "
             "first\n"
             "n_keep (-1: the whole prompt), which are computed again; None: it ends there; `answered`: tokens that "
             "the\n"
             "answer begins with, fewer than max_tokens: it goes on as if they had been chosen here, with the random\n"
             "numbers of a seed too (mirostat and adaptive-p start anew), and the first output has them. Raises\n"
             "InvalidRequestError, PromptTooLongError, ModelNotFoundError (adapter), "
             "QueueFullError\n"
             "or EngineDeadError; nothing is queued then.")
        .def("cancel", &Engine::cancel, py::arg("request_id"), ReleaseGil(),
             "End a request wherever it stands; its last output says CANCELLED. Unknown ids are ignored.")
        .def("step", &Engine::step, ReleaseGil(),
             "One step, on the caller's thread. Not while start() runs, which also finds out what steps cost: without "
             "it "
             "adaptive\ndrafts are not made. False when there was nothing to do.")
        .def(
            "wait",
            [](Engine & self, double timeout, double interval) {
                const auto milliseconds = static_cast<int64_t>(std::max(0.0, std::min(timeout, 3600.0)) * 1e3);
                const auto microseconds = static_cast<int64_t>(std::max(0.0, std::min(interval, 1.0)) * 1e6);
                return self.wait(std::chrono::milliseconds(milliseconds), std::chrono::microseconds(microseconds));
            },
            py::arg("timeout") = 0.1, py::arg("interval") = 0.0, ReleaseGil(),
            "All outputs since the last call, one for each request, waiting up to `timeout` seconds for the first. Not "
            "sooner\nthan `interval` seconds (0 to 1) after the last call returned some, unless an answer begins or "
            "ends.")
        .def(
            "load_adapter",
            [](Engine & self, const std::string & name, const FilePath & path) { self.load_adapter(name, path.bytes); },
            py::arg("name"), py::arg("path"), ReleaseGil(),
            "Load a LoRA adapter, or replace the one of that name for later requests. Raises ModelLoadError.")
        .def("unload_adapter", &Engine::unload_adapter, py::arg("name"), ReleaseGil(),
             "Forget an adapter; requests that use it finish with it. Raises ModelNotFoundError.")
        .def(
            "save_prefix",
            [](Engine & self, const std::vector<Token> & tokens, const std::string & tenant, const Lora & lora) {
                std::vector<uint8_t> state;
                {
                    const py::gil_scoped_release unlocked;
                    state = self.save_prefix({tenant, lora}, tokens);
                }
                return py::bytes(reinterpret_cast<const char *>(state.data()), state.size());
            },
            py::arg("tokens"), py::kw_only(), py::arg("tenant") = "", py::arg("lora") = Lora{},
            "The KV cells of a cached prefix as bytes, checksummed. Raises InvalidRequestError when it is not cached.")
        .def(
            "load_prefix",
            [](Engine & self, const py::bytes & state, const std::string & tenant, const Lora & lora) {
                const std::string_view bytes = state;
                const py::gil_scoped_release unlocked;
                return self.load_prefix({tenant, lora},
                                        {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()});
            },
            py::arg("state"), py::kw_only(), py::arg("tenant") = "", py::arg("lora") = Lora{},
            "Take saved cells into the cache; returns their tokens. Raises InvalidRequestError for bytes that are "
            "damaged or\nof another model, other settings or other adapters.")
        .def(
            "pin_prefix",
            [](Engine & self, const std::vector<Token> & tokens, const std::string & tenant, const Lora & lora) {
                self.pin_prefix({tenant, lora}, tokens);
            },
            py::arg("tokens"), py::kw_only(), py::arg("tenant") = "", py::arg("lora") = Lora{}, ReleaseGil(),
            "Keep a cached prefix in the KV cache until it is unpinned, or a request has no room without it.")
        .def(
            "unpin_prefix",
            [](Engine & self, const std::vector<Token> & tokens, const std::string & tenant, const Lora & lora) {
                self.unpin_prefix({tenant, lora}, tokens);
            },
            py::arg("tokens"), py::kw_only(), py::arg("tenant") = "", py::arg("lora") = Lora{}, ReleaseGil(),
            "Take a pin_prefix back.")
        .def(
            "shift_prefix",
            [](Engine & self, const std::vector<Token> & tokens, size_t n_keep, size_t n_discard,
               const std::string & tenant,
               const Lora & lora) { return self.shift_prefix({tenant, lora}, tokens, n_keep, n_discard); },
            py::arg("tokens"), py::arg("n_keep"), py::arg("n_discard"), py::kw_only(), py::arg("tenant") = "",
            py::arg("lora") = Lora{}, ReleaseGil(),
            "Context shift: a cached prefix without the n_discard tokens after the first n_keep, the later cells moved "
            "to the\nfront. Returns the new tokens. Raises InvalidRequestError when it is not cached or the model "
            "cannot shift.")
        .def(
            "cached_prefix",
            [](Engine & self, const std::vector<Token> & tokens, const std::string & tenant, const Lora & lora) {
                return self.cached_prefix({tenant, lora}, tokens);
            },
            py::arg("tokens"), py::kw_only(), py::arg("tenant") = "", py::arg("lora") = Lora{}, ReleaseGil(),
            "How many leading tokens a request would find computed now. Waits for the step that runs.")
        .def(
            "prefix_adapters",
            [](Engine & self, const std::vector<Token> & tokens, const Lora & lora) {
                return self.prefix_adapters({"", lora}, tokens);
            },
            py::arg("tokens"), py::kw_only(), py::arg("lora") = Lora{}, ReleaseGil(),
            "A hash of the adapter files and scales that these tokens are computed with; 0: none. Raises "
            "InvalidRequestError when\nthe tokens switch an adapter on, ModelNotFoundError for an unknown one.")
        .def_property_readonly("prefix_settings", &Engine::prefix_settings,
                               "What saved prefixes depend on beside their adapters, as text: the model, settings of "
                               "the context, the way of computing.")
        .def_property_readonly("prefixes_lost", &Engine::prefixes_lost,
                               "How often something that was cached became lost: unchanged, it is still there.")
        .def_property_readonly("adapters", &Engine::adapters, "Names of the loaded adapters.")
        .def_property_readonly("stats", &Engine::stats)
        .def_property_readonly("memory", py::cpp_function(&Engine::memory, ReleaseGil()),
                               "What model and context take of each device; the last one is the host.")
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
