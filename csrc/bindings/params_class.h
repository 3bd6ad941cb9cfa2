#pragma once
// Binds a struct of options as a class whose keyword arguments, defaults and types come from the struct alone.

#include <pybind11/stl.h>

#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "bindings/bind.h"
#include "errors.h"

namespace shimmy::bindings {

template <typename T>
struct PythonType;  // the annotation shown for a field
template <>
struct PythonType<bool> {
    static constexpr auto name = "bool";
};
template <>
struct PythonType<int32_t> {
    static constexpr auto name = "int";
};
template <>
struct PythonType<uint32_t> {
    static constexpr auto name = "int";
};
template <>
struct PythonType<double> {
    static constexpr auto name = "float";
};
template <>
struct PythonType<std::string> {
    static constexpr auto name = "str";
};
template <>
struct PythonType<std::vector<std::string>> {
    static constexpr auto name = "list[str]";
};
template <>
struct PythonType<std::vector<double>> {
    static constexpr auto name = "list[float]";
};
template <>
struct PythonType<std::map<int32_t, double>> {
    static constexpr auto name = "dict[int, float]";
};
template <>
struct PythonType<std::optional<uint32_t>> {
    static constexpr auto name = "int | None";
};

template <typename Params>
class ParamsClass {
  public:
    ParamsClass(py::module_ & m, const char * name, const char * doc) : class_(m, name, doc), name_(name) {}

    template <typename T>
    ParamsClass & field(const char * name, T Params::* member, const char * doc) {
        class_.def_readwrite(name, member, doc);
        setters_[name] = [name, member](Params & params, const py::object & value) {
            params.*member = convert<T>(name, value);
        };
        const Params defaults;
        const auto shown = py::repr(py::cast(defaults.*member)).template cast<std::string>();
        signature_ += std::string(", ") + name + ": " + PythonType<T>::name + " = " + shown;
        names_.emplace_back(name);
        return *this;
    }

    void done() {
        const auto names = names_;
        const std::string class_name = name_;
        class_.def("__repr__", [names, class_name](const py::object & self) {
            std::string text = class_name + "(";
            for (const auto & name : names) {
                text += (text.back() == '(' ? "" : ", ") + name + "=" +
                        py::repr(self.attr(name.c_str())).template cast<std::string>();
            }
            return text + ")";
        });
        py::options options;
        options.disable_function_signatures();
        const std::string signature = "__init__(self, *" + signature_ +
                                      ") -> None\n\nRaises InvalidRequestError for "
                                      "unknown names and values of the wrong type.";
        const auto setters = setters_;
        class_.def(py::init([setters, class_name](const py::kwargs & kwargs) {
                       Params params;
                       for (const auto & [key, value] : kwargs) {
                           const auto field = py::cast<std::string>(key);
                           const auto setter = setters.find(field);
                           if (setter == setters.end()) {
                               throw InvalidRequestError(class_name + " has no option '" + field + "'", field);
                           }
                           setter->second(params, py::reinterpret_borrow<py::object>(value));
                       }
                       return params;
                   }),
                   signature.c_str());
    }

  private:
    template <typename T>
    static T convert(const char * name, const py::object & value) {
        // Neither is True a number nor 1 a truth value, although pybind11 converts them.
        if (static_cast<bool>(PyBool_Check(value.ptr())) == std::is_same_v<T, bool>) {
            try {
                return py::cast<T>(value);
            } catch (const py::cast_error &) {
                PyErr_Clear();
            }
        }
        throw InvalidRequestError(std::string(name) + " is " + py::repr(value).cast<std::string>().substr(0, 80) +
                                      ", it must be of type " + PythonType<T>::name,
                                  name);
    }

    py::class_<Params> class_;
    std::string name_;
    std::string signature_;
    std::vector<std::string> names_;
    std::map<std::string, std::function<void(Params &, const py::object &)>> setters_;
};

}  // namespace shimmy::bindings
