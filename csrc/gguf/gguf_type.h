#pragma once
// The types that GGUF gives its metadata, and ggml its tensors.

#include <cstdint>
#include <string>

namespace shimmy {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// "u32", "string", ...; "type 77" for one that GGUF does not have.
std::string gguf_type_name(GgufType type);

// Bytes of one number; 0 for strings, arrays and types that GGUF does not have.
uint64_t gguf_type_bytes(GgufType type);

struct TensorType {
    const char * name;
    uint64_t block;  // elements per block; 0: removed from ggml
    uint64_t bytes;  // per block
};

// By ggml's number; null for one that ggml does not have.
const TensorType * find_tensor_type(uint32_t type);

// "q4_K", "f16", ...; "type 77" for one that ggml does not have.
std::string tensor_type_name(uint32_t type);

}  // namespace shimmy
