#include "llama/batch.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"

namespace shimmy::bindings {

void bind_batch(py::module_ & m) {
    py::class_<Batch>(m, "Batch", "Tokens for one decode or encode call.")
        .def(py::init<>())
        .def("add", py::overload_cast<Token, Pos, const std::vector<SeqId> &, bool>(&Batch::add), py::arg("token"),
             py::arg("pos"), py::arg("seq_ids") = std::vector<SeqId>{0}, py::arg("output") = false,
             "Append a token at position `pos` of the sequences `seq_ids`; `output` asks for its logits or embedding.\n"
             "Returns its index. Raises InvalidRequestError for empty `seq_ids`.")
        .def("clear", &Batch::clear)
        .def("__len__", &Batch::n_tokens)
        .def_property_readonly("n_outputs", &Batch::n_outputs, "Tokens that ask for an output.")
        .def_property_readonly("tokens", &Batch::tokens)
        .def_property_readonly("positions", &Batch::positions);
}

}  // namespace shimmy::bindings
