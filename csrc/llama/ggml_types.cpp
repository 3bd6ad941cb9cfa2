#include "llama/ggml_types.h"

#include <array>

#include "errors.h"

namespace shimmy {

ggml_type kv_type(const std::string & param, const std::string & name) {
    constexpr std::array types = {GGML_TYPE_F32,  GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_Q8_0,  GGML_TYPE_Q5_1,
                                  GGML_TYPE_Q5_0, GGML_TYPE_Q4_1, GGML_TYPE_Q4_0, GGML_TYPE_IQ4_NL};
    std::string known;
    for (const auto type : types) {
        if (name == ggml_type_name(type)) {
            return type;
        }
        known += std::string(known.empty() ? "" : ", ") + ggml_type_name(type);
    }
    throw InvalidRequestError(param + " is '" + name + "', it must be one of " + known, param);
}

}  // namespace shimmy
