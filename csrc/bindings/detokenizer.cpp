#include "llama/detokenizer.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"

namespace shimmy::bindings {

void bind_detokenizer(py::module_ & m) {
    py::class_<Detokenizer>(m, "Detokenizer", "Turns a stream of tokens into text that never ends inside a character.")
        .def(py::init([](std::shared_ptr<Tokenizer> tokenizer, const std::set<Token> & preserved) {
                 return Detokenizer(std::move(tokenizer), preserved);
             }),
             py::arg("tokenizer").none(false), py::arg("preserved") = std::set<Token>{},
             "Control tokens render as nothing, except those in `preserved`. Raises InvalidRequestError for ids that "
             "the\n"
             "vocabulary does not have.")
        .def("push", &Detokenizer::push, py::arg("token"), "The text that `token` completes, possibly empty.")
        .def("flush", &Detokenizer::flush, "What is held back, an unfinished character as U+FFFD. Starts anew.");
}

}  // namespace shimmy::bindings
