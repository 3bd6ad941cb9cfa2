#include "errors.h"

#include "bindings/bind.h"
#include "bindings/text.h"

namespace shimmy::bindings {
namespace {

py::object error_class(const char * name) {
    return py::module_::import("shimmy.errors").attr(name);
}

void raise(const char * name, const Error & error) {
    const auto type = error_class(name);
    PyErr_SetObject(type.ptr(), type(str_of(error.what())).ptr());
}

void translate(std::exception_ptr pointer) {
    try {
        std::rethrow_exception(pointer);
    } catch (const PromptTooLongError & error) {
        const auto type = error_class("PromptTooLongError");
        PyErr_SetObject(type.ptr(), type(str_of(error.what()), error.param, error.n_prompt_tokens, error.n_ctx).ptr());
    } catch (const InvalidRequestError & error) {
        const auto type = error_class("InvalidRequestError");
        const py::object param = error.param.empty() ? py::object(py::none()) : str_of(error.param);
        PyErr_SetObject(type.ptr(), type(str_of(error.what()), param).ptr());
    } catch (const ModelLoadError & error) {
        raise("ModelLoadError", error);
    } catch (const ModelNotFoundError & error) {
        raise("ModelNotFoundError", error);
    } catch (const TemplateError & error) {
        raise("TemplateError", error);
    } catch (const QueueFullError & error) {
        raise("QueueFullError", error);
    } catch (const OutOfMemoryError & error) {
        raise("OutOfMemoryError", error);
    } catch (const DecodeError & error) {
        raise("DecodeError", error);
    } catch (const EngineDeadError & error) {
        raise("EngineDeadError", error);
    } catch (const Error & error) {
        raise("ShimmyError", error);
    }
}

}  // namespace

void bind_errors(py::module_ &) {
    py::register_exception_translator(translate);
}

}  // namespace shimmy::bindings
