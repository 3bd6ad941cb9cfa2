#include "engine/embedder.h"

#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/bind.h"

namespace shimmy::bindings {
namespace {

std::vector<py::array_t<float>> rows_of(const EmbedOutput & output) {
    std::vector<py::array_t<float>> arrays;
    for (const auto & rows : output.rows) {
        const auto width = static_cast<py::ssize_t>(output.width);
        const auto n_rows = static_cast<py::ssize_t>(rows.size()) / width;
        arrays.push_back(py::array_t<float>({n_rows, width}, rows.data()));
    }
    return arrays;
}

}  // namespace

void bind_embedder(py::module_ & m) {
    py::class_<EmbedOutput>(m, "EmbedOutput", "The end of one job of an Embedder.")
        .def_readonly("id", &EmbedOutput::id)
        .def_property_readonly("rows", &rows_of,
                               "Per input a copy of its rows, float32[n_rows, width]: one row, with pooling none one "
                               "per token.")
        .def_readonly("error", &EmbedOutput::error, "Not empty: the job failed and has no rows.");
    py::class_<EmbedderStats>(m, "EmbedderStats", "Counters of an embedder.")
        .def_readonly("jobs", &EmbedderStats::jobs, "Added and not ended.")
        .def_readonly("waiting", &EmbedderStats::waiting, "Inputs queued now.")
        .def_readonly("batches", &EmbedderStats::batches, "Computed since the start.")
        .def_readonly("tokens", &EmbedderStats::tokens, "Computed since the start.");
    py::class_<Embedder>(m, "Embedder", "Embeddings, batched across jobs, with a context of their own. Thread-safe.")
        .def(py::init([](std::shared_ptr<Model> model, ContextParams context, EmbedderParams params) {
                 py::gil_scoped_release unlocked;
                 return std::make_unique<Embedder>(std::move(model), context, params);
             }),
             py::arg("model").none(false), py::arg("context") = ContextParams{}, py::arg("params") = EmbedderParams{},
             "Makes its own context: of `context` it takes threads, types, attention and rope, of `params` sizes and "
             "pooling.\n"
             "Raises InvalidRequestError (parameters; encoder-decoder models; pooling rank without a head) and\n"
             "ModelLoadError (no memory).")
        .def(
            "add",
            [](Embedder & self, std::vector<std::vector<Token>> inputs, bool normalize,
               std::optional<uint32_t> dimensions) { return self.add(std::move(inputs), {normalize, dimensions}); },
            py::arg("inputs"), py::kw_only(), py::arg("normalize") = true, py::arg("dimensions") = std::nullopt,
            ReleaseGil(),
            "Queue token ids, one list per input, and return the id of the job. `dimensions` keeps the first so many "
            "values,\n"
            "`normalize` then divides by the L2 norm (not with pooling rank). Raises InvalidRequestError (no input, an "
            "empty\n"
            "one, unknown token ids, dimensions), PromptTooLongError, QueueFullError or EngineDeadError; nothing is "
            "queued then.")
        .def("cancel", &Embedder::cancel, py::arg("id"), ReleaseGil(),
             "Forget a job: it has no output, and nothing more of it is computed after the batch that runs. Unknown "
             "ids are\n"
             "ignored.")
        .def("step", &Embedder::step, ReleaseGil(),
             "Compute one batch of waiting inputs on the caller's thread; the jobs that ended since the last call.")
        .def("shutdown", &Embedder::shutdown, ReleaseGil(),
             "Stop what runs; all jobs end with an error. Later ones raise EngineDeadError. Idempotent.")
        .def_property_readonly("stats", &Embedder::stats)
        .def_property_readonly("memory", py::cpp_function(&Embedder::memory, ReleaseGil()),
                               "What model and context take of each device; the last one is the host.")
        .def_property_readonly("death", &Embedder::death, "Why it ended; empty while it lives.")
        .def_property_readonly("max_input_tokens", &Embedder::max_input_tokens, "Tokens of the longest input.")
        .def_property_readonly("width", &Embedder::width,
                               "Values of a row before it is cut: n_embd, with pooling rank the head's width.")
        .def_property_readonly(
            "n_seq_max", [](const Embedder & self) { return self.context().n_seq_max(); }, "Inputs of a batch at most.")
        .def_property_readonly(
            "batch_tokens", [](const Embedder & self) { return self.context().n_batch(); },
            "Tokens of a batch at most.")
        .def_property_readonly(
            "pooling", [](const Embedder & self) { return self.context().pooling(); },
            "none, mean, cls, last or rank.");
}

}  // namespace shimmy::bindings
