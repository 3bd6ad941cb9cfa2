#pragma once
// Python strings as UTF-8, and back.

#include <map>
#include <string>

#include "bindings/bind.h"
#include "llama/detokenizer.h"

namespace shimmy::bindings {

// The bytes of a str or bytes; lone surrogates of a str become U+FFFD. Throws TypeError for anything else.
inline std::string utf8_of(const py::object & text) {
    if (PyUnicode_Check(text.ptr())) {
        return valid_utf8(py::cast<std::string>(text.attr("encode")("utf-8", "surrogatepass")));
    }
    if (PyBytes_Check(text.ptr())) {
        return py::cast<std::string>(text);
    }
    throw py::type_error("text must be str or bytes");
}

inline py::str str_of(const std::string & bytes) {
    return py::str(valid_utf8(bytes));
}

inline std::map<std::string, std::string> str_map_of(const std::map<std::string, std::string> & bytes) {
    std::map<std::string, std::string> texts;
    for (const auto & [key, value] : bytes) {
        texts.emplace(valid_utf8(key), valid_utf8(value));
    }
    return texts;
}

}  // namespace shimmy::bindings
