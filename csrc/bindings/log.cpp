#include <pybind11/functional.h>

#include "bindings/bind.h"
#include "bindings/text.h"
#include "llama/log_sink.h"

namespace shimmy::bindings {

void bind_log(py::module_ & m) {
    m.def(
        "set_log_callback",
        [](const py::object & callback) {
            if (callback.is_none()) {
                py::gil_scoped_release unlocked;
                set_log_callback({});
                return;
            }
            if (!PyCallable_Check(callback.ptr())) {
                throw py::type_error("callback must be callable or None");
            }
            // The last reference may be dropped on the logging thread, so it is dropped with the GIL held.
            auto * handle = new py::object(callback);
            std::shared_ptr<py::object> shared(handle, [](py::object * object) {
                py::gil_scoped_acquire locked;
                delete object;
            });
            py::gil_scoped_release unlocked;
            set_log_callback([shared](LogLevel level, const std::string & line) {
                py::gil_scoped_acquire locked;
                try {
                    (*shared)(static_cast<int>(level), str_of(line));
                } catch (py::error_already_set & error) {
                    error.discard_as_unraisable("shimmy log callback");
                }
            });
        },
        py::arg("callback").none(true),
        "Send llama.cpp's log lines to `callback(level: int, line: str)`, levels as in `logging`, on a thread of their "
        "own.\n"
        "None drops them. Returns when the previous callback runs no more; a callback cannot replace itself\n"
        "(InvalidRequestError). What it raises goes to sys.unraisablehook.");
}

}  // namespace shimmy::bindings
