#pragma once
// Native memory as numpy arrays and bytes.

#include <pybind11/numpy.h>

#include <cstdint>
#include <vector>

#include "bindings/bind.h"

namespace shimmy::bindings {

inline py::array_t<float> array_of(const std::vector<float> & values) {
    return py::array_t<float>(static_cast<py::ssize_t>(values.size()), values.data());
}

inline py::bytes bytes_of(const std::vector<uint8_t> & data) {
    return py::bytes(reinterpret_cast<const char *>(data.data()), data.size());
}

inline std::vector<uint8_t> bytes_in(const py::buffer & buffer) {
    const auto info = buffer.request();
    if (info.itemsize != 1 || info.ndim != 1 || (info.size > 1 && info.strides[0] != 1)) {
        throw py::type_error("expected contiguous bytes");
    }
    const auto * data = static_cast<const uint8_t *>(info.ptr);
    return {data, data + info.size};
}

}  // namespace shimmy::bindings
