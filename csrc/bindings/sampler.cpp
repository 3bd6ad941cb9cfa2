#include "llama/sampler.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "errors.h"

namespace shimmy::bindings {
namespace {

using Logits = py::array_t<float, py::array::c_style | py::array::forcecast>;

std::span<const float> row(const Logits & logits) {
    if (logits.ndim() != 1) {
        throw InvalidRequestError("logits has " + std::to_string(logits.ndim()) + " dimensions, it must be one row",
                                  "logits");
    }
    return {logits.data(), static_cast<size_t>(logits.size())};
}

}  // namespace

void bind_sampler(py::module_ & m) {
    py::class_<Sampler>(m, "Sampler", "Chooses tokens from logits. One per sequence.")
        .def(py::init([](std::shared_ptr<Tokenizer> tokenizer, const SamplingParams & params) {
                 return Sampler(std::move(tokenizer), params);
             }),
             py::arg("tokenizer").none(false), py::arg("params") = SamplingParams{},
             "Raises InvalidRequestError naming the field that is out of range.")
        .def(
            "sample",
            [](Sampler & self, const Logits & logits, const std::vector<Token> & banned) {
                return self.sample(row(logits), banned);
            },
            py::arg("logits"), py::kw_only(), py::arg("banned") = std::vector<Token>{},
            "The next token from float32[n_vocab] logits, NaN counting as -inf; none of `banned`. Does not accept it.\n"
            "Raises DecodeError when there is nothing to choose from or a logit is +inf.\n"
            "\n"
            "The row may be any array of the caller's, so that a logits processor is a function of it::\n"
            "\n"
            "    row = context.logits().copy()\n"
            "    row[digits] += 2.0\n"
            "    row[forbidden] = -numpy.inf\n"
            "    token = sampler.sample(row)\n"
            "\n"
            "It is only read, and without a copy when it is float32 and contiguous.")
        .def("accept", &Sampler::accept, py::arg("token"),
             "Take a token into the history that penalties, DRY and adaptive-p look back on (prompt tokens too).")
        .def(
            "set_history", [](Sampler & self, const std::vector<Token> & tokens) { self.set_history(tokens); },
            py::arg("tokens"),
            "Replace the history that penalties, DRY and adaptive-p look back on, oldest first, as when accepted "
            "tokens "
            "are\n"
            "taken back. Random numbers and mirostat's state stay as they are. Raises InvalidRequestError for a token "
            "that the\n"
            "vocabulary does not have.")
        .def("reset", &Sampler::reset, "Forget the history and start the random numbers anew.")
        .def("clone", &Sampler::clone, "A copy with the same history and random state, independent from now on.")
        .def(
            "top",
            [](Sampler & self, const Logits & logits, int32_t n) {
                std::vector<std::pair<Token, double>> best;
                for (const auto & [token, probability] : self.top(row(logits), n)) {
                    best.emplace_back(token, probability);
                }
                return best;
            },
            py::arg("logits"), py::arg("n") = 10,
            "The `n` likeliest of what all samplers leave, as (token, probability), best first. Changes no state.")
        .def_property_readonly("seed", &Sampler::seed, "The seed in use, also when none was given.")
        .def_property_readonly("params", [](const Sampler & self) { return self.params(); }, "A copy.");

    m.def(
        "logprobs",
        [](const Logits & logits, Token token, int32_t n_top) {
            const auto values = row(logits);
            if (token < 0 || static_cast<size_t>(token) >= values.size()) {
                throw InvalidRequestError(
                    "token is " + std::to_string(token) + ", there are " + std::to_string(values.size()) + " logits",
                    "token");
            }
            const auto result = logprobs(values, token, n_top);
            std::vector<std::pair<Token, float>> top;
            for (const auto & [id, logprob] : result.top) {
                top.emplace_back(id, logprob);
            }
            return std::pair(result.logprob, top);
        },
        py::arg("logits"), py::arg("token"), py::arg("n_top") = 0,
        "Log-probability of `token` before any sampling, and the `n_top` likeliest as (token, logprob), best first.");
}

}  // namespace shimmy::bindings
