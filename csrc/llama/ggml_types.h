#pragma once
// The tensor types that a KV cache can have.

#include <ggml.h>

#include <string>

namespace shimmy {

// Throws InvalidRequestError naming `param` and the types that work.
ggml_type kv_type(const std::string & param, const std::string & name);

}  // namespace shimmy
