#include "llama/context.h"

#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/kv_cache_view.h"
#include "llama/lora_adapter.h"

namespace shimmy::bindings {
namespace {

// Runs with the context locked and without the GIL.
template <typename Function>
auto locked(const std::shared_ptr<Context> & context, Function && function) {
    py::gil_scoped_release unlocked;
    std::lock_guard lock(context->mutex());
    return std::forward<Function>(function)(*context);
}

std::vector<float> copy(std::span<const float> row) {
    return {row.begin(), row.end()};
}

}  // namespace

void bind_context(py::module_ & m) {
    using Self = std::shared_ptr<Context>;

    py::enum_<DecodeStatus>(m, "DecodeStatus", "What llama_decode documents, one case each.")
        .value("OK", DecodeStatus::Ok)
        .value("NO_KV_SLOT", DecodeStatus::NoKvSlot, "No room in the KV cache; nothing was computed.")
        .value("ABORTED", DecodeStatus::Aborted, "Stopped by abort(); finished micro-batches stay in the cache.")
        .value("INVALID", DecodeStatus::Invalid, "Refused (positions out of order, ...); nothing was computed.")
        .value("NO_MEMORY", DecodeStatus::NoMemory,
               "No memory to compute in; finished micro-batches stay in the cache.")
        .value("BROKEN", DecodeStatus::Broken, "The backend gave up; the same. Worth another try.")
        .value("FAILED", DecodeStatus::Failed, "Fatal; the context is of no further use.");

    py::class_<Context, Self>(m, "Context", "A KV cache, compute buffers and the outputs of the last call.")
        .def(py::init([](std::shared_ptr<Model> model, ContextParams params) {
                 py::gil_scoped_release unlocked;
                 return std::make_shared<Context>(std::move(model), params);
             }),
             py::arg("model").none(false), py::arg("params") = ContextParams{},
             "Raises InvalidRequestError (parameters) or ModelLoadError (no memory, unsupported combination).")
        .def(
            "decode",
            [](const Self & self, const Batch & batch) {
                const Batch mine = batch;  // another thread may change the batch while this one computes
                return locked(self, [&](Context & c) { return c.decode(mine); });
            },
            py::arg("batch"),
            "Compute a batch with the KV cache. Raises InvalidRequestError for ids, sequences, sizes and outputs that "
            "the\n"
            "context does not have, DecodeError once a call has FAILED. Releases the GIL.")
        .def(
            "encode",
            [](const Self & self, const Batch & batch) {
                const Batch mine = batch;
                return locked(self, [&](Context & c) { return c.encode(mine); });
            },
            py::arg("batch"),
            "Compute a batch without the KV cache: encoders and embedding models. Raises like decode.")
        .def(
            "abort", [](const Self & self) { self->abort(); },
            "Stop the call that runs now (CPU: at once), or the next one, with ABORTED. From any thread. A decode "
            "that\n"
            "moves cells (after seq_add, seq_div or, kv_unified off, seq_cp) runs to its end.")
        .def(
            "logits",
            [](const Self & self, int32_t i) {
                return array_of(locked(self, [&](Context & c) { return copy(c.logits(i)); }));
            },
            py::arg("i") = -1,
            "A copy of the logits of token `i` of the last batch (negative: counted from the last output), "
            "float32[n_vocab].\n"
            "Raises InvalidRequestError when that token asked for no output or the last call was not OK.")
        .def(
            "embeddings",
            [](const Self & self, int32_t i) {
                return array_of(locked(self, [&](Context & c) { return copy(c.embeddings(i)); }));
            },
            py::arg("i") = -1,
            "A copy of the embedding of token `i`, float32[n_embd]; needs embeddings=True and no pooling.")
        .def(
            "embeddings_seq",
            [](const Self & self, SeqId seq_id) {
                return array_of(locked(self, [&](Context & c) { return copy(c.embeddings_seq(seq_id)); }));
            },
            py::arg("seq_id"),
            "A copy of the pooled embedding of a sequence of the last batch, float32[n_embd]; pooling rank:\n"
            "float32[n_cls_out]. Pooling mean, cls and rank need the sequence in one batch of at most n_ubatch tokens.")
        .def(
            "set_adapters",
            [](const Self & self, const std::vector<std::pair<std::shared_ptr<LoraAdapter>, double>> & adapters) {
                locked(self, [&](Context & c) { c.set_adapters(adapters); });
            },
            py::arg("adapters"),
            "Replace the adapters that apply from now on: (adapter, scale) pairs; none: []. Raises InvalidRequestError "
            "for\n"
            "an adapter of another model object and one named twice.")
        .def(
            "save_state",
            [](const Self & self) { return bytes_of(locked(self, [](Context & c) { return c.save_state(); })); },
            "The whole KV cache, framed and checksummed; logits and embeddings are not part of it. Raises\n"
            "InvalidRequestError between seq_add, seq_div or (kv_unified off) seq_cp and the next decode, which moves\n"
            "the cells.")
        .def(
            "load_state",
            [](const Self & self, const py::buffer & state) {
                const auto data = bytes_in(state);
                locked(self, [&](Context & c) { c.load_state(data); });
            },
            py::arg("state"),
            "Raises InvalidRequestError for bytes that are damaged or of another model, which change nothing, for "
            "those of\n"
            "other settings, which leave the cache empty, and when save_state would.")
        .def_property_readonly("kv_cache", [](const Self & self) { return KvCacheView{self}; })
        .def_property_readonly("model", &Context::model)
        .def_property_readonly("n_ctx", &Context::n_ctx, "Cells of all sequences.")
        .def_property_readonly("n_ctx_seq", &Context::n_ctx_seq, "Cells that one sequence can take.")
        .def_property_readonly("n_batch", &Context::n_batch)
        .def_property_readonly("n_ubatch", &Context::n_ubatch)
        .def_property_readonly("n_seq_max", &Context::n_seq_max)
        .def_property_readonly("n_outputs_max", &Context::n_outputs_max)
        .def(
            "set_n_threads",
            [](const Self & self, int32_t n_threads, int32_t n_threads_batch) {
                locked(self, [&](Context & c) { c.set_n_threads(n_threads, n_threads_batch); });
            },
            py::arg("n_threads"), py::arg("n_threads_batch"),
            "Threads of the following calls, for single tokens and for batches (llama_set_n_threads). Raises\n"
            "InvalidRequestError for counts that are not between 1 and the larger of the two that the context was made "
            "with.")
        .def_property_readonly("n_threads", &Context::n_threads)
        .def_property_readonly("n_threads_batch", &Context::n_threads_batch)
        .def_property_readonly("pooling", &Context::pooling, "none, mean, cls, last or rank.");
}

}  // namespace shimmy::bindings
