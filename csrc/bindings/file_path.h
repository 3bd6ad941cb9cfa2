#pragma once
// Paths as Python knows them (str, bytes, os.PathLike), as the bytes that the file system knows, and back.

#include <string>

#include "bindings/bind.h"
#include "errors.h"

namespace shimmy::bindings {

struct FilePath {
    std::string bytes;
};

inline py::str str_of_path(const std::string & path) {
    return py::reinterpret_steal<py::str>(
        PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<py::ssize_t>(path.size())));
}

}  // namespace shimmy::bindings

template <>
struct pybind11::detail::type_caster<shimmy::bindings::FilePath> {
    PYBIND11_TYPE_CASTER(shimmy::bindings::FilePath, const_name("os.PathLike[str] | str | bytes"));

    bool load(handle source, bool) {
        PyObject * bytes = nullptr;
        if (!PyUnicode_FSConverter(source.ptr(), &bytes)) {
            const bool has_nul =
                PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_UnicodeError);
            PyErr_Clear();
            if (has_nul) {
                throw shimmy::InvalidRequestError("the path holds a NUL character", "path");
            }
            return false;
        }
        value.bytes = reinterpret_steal<pybind11::bytes>(bytes);
        return true;
    }
};
