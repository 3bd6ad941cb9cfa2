#include "llama/tokenizer.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/text.h"

namespace shimmy::bindings {

void bind_tokenizer(py::module_ & m) {
    py::class_<Tokenizer, std::shared_ptr<Tokenizer>>(m, "Tokenizer", "Text to tokens and back. Thread-safe.")
        .def(py::init([](std::shared_ptr<Model> model) { return std::make_shared<Tokenizer>(std::move(model)); }),
             py::arg("model").none(false), "Raises InvalidRequestError for a model without a vocabulary.")
        .def(
            "encode",
            [](const Tokenizer & self, const py::object & text, bool add_special, bool parse_special) {
                const auto bytes = utf8_of(text);
                py::gil_scoped_release unlocked;
                return self.encode(bytes, add_special, parse_special);
            },
            py::arg("text"), py::kw_only(), py::arg("add_special") = true, py::arg("parse_special") = true,
            "Token ids of `text` (str or bytes). `add_special` adds BOS/EOS as the model asks, `parse_special` turns "
            "the\n"
            "text of control tokens into those tokens. Raises InvalidRequestError over 64 MiB.")
        .def(
            "decode",
            [](const Tokenizer & self, const std::vector<Token> & tokens, bool unparse_special) {
                std::string bytes;
                {
                    py::gil_scoped_release unlocked;
                    bytes = self.decode(tokens, unparse_special);
                }
                return str_of(bytes);
            },
            py::arg("tokens"), py::kw_only(), py::arg("unparse_special") = false,
            "The text of `tokens`, invalid UTF-8 replaced. `unparse_special` writes control tokens out. Raises\n"
            "InvalidRequestError for ids that the vocabulary does not have.")
        .def(
            "piece",
            [](const Tokenizer & self, Token token, bool special) { return py::bytes(self.piece(token, special)); },
            py::arg("token"), py::kw_only(), py::arg("special") = false,
            "The bytes of one token, possibly part of a character; empty for a control token unless `special`.")
        .def("is_eog", &Tokenizer::is_eog, py::arg("token"), "Whether it ends a generation (EOS, EOT, ...).")
        .def("is_control", &Tokenizer::is_control, py::arg("token"), "Whether it renders as nothing.")
        .def_property_readonly("n_vocab", &Tokenizer::n_vocab)
        .def_property_readonly("add_bos", &Tokenizer::add_bos)
        .def_property_readonly("add_eos", &Tokenizer::add_eos)
        .def_property_readonly("add_sep", &Tokenizer::add_sep, "Between the two texts of a pair.")
        .def_property_readonly("bos", &Tokenizer::bos)
        .def_property_readonly("eos", &Tokenizer::eos)
        .def_property_readonly("eot", &Tokenizer::eot)
        .def_property_readonly("sep", &Tokenizer::sep)
        .def_property_readonly("nl", &Tokenizer::nl)
        .def_property_readonly("pad", &Tokenizer::pad)
        .def_property_readonly("mask", &Tokenizer::mask)
        .def_property_readonly("fim_pre", &Tokenizer::fim_pre)
        .def_property_readonly("fim_suf", &Tokenizer::fim_suf)
        .def_property_readonly("fim_mid", &Tokenizer::fim_mid)
        .def_property_readonly("eog_tokens", &Tokenizer::eog_tokens, "Every token that ends a generation.")
        .def_property_readonly("model", &Tokenizer::model);
}

}  // namespace shimmy::bindings
