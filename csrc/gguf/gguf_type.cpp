#include "gguf/gguf_type.h"

#include <array>

namespace shimmy {
namespace {

// ggml's tensor types by number.
constexpr std::array<TensorType, 43> tensor_types = {{
    {"f32", 1, 4},      {"f16", 1, 2},        {"q4_0", 32, 18},     {"q4_1", 32, 20},     {"q4_2", 0, 0},
    {"q4_3", 0, 0},     {"q5_0", 32, 22},     {"q5_1", 32, 24},     {"q8_0", 32, 34},     {"q8_1", 32, 36},
    {"q2_K", 256, 84},  {"q3_K", 256, 110},   {"q4_K", 256, 144},   {"q5_K", 256, 176},   {"q6_K", 256, 210},
    {"q8_K", 256, 292}, {"iq2_xxs", 256, 66}, {"iq2_xs", 256, 74},  {"iq3_xxs", 256, 98}, {"iq1_s", 256, 50},
    {"iq4_nl", 32, 18}, {"iq3_s", 256, 110},  {"iq2_s", 256, 82},   {"iq4_xs", 256, 136}, {"i8", 1, 1},
    {"i16", 1, 2},      {"i32", 1, 4},        {"i64", 1, 8},        {"f64", 1, 8},        {"iq1_m", 256, 56},
    {"bf16", 1, 2},     {"q4_0_4_4", 0, 0},   {"q4_0_4_8", 0, 0},   {"q4_0_8_8", 0, 0},   {"tq1_0", 256, 54},
    {"tq2_0", 256, 66}, {"iq4_nl_4_4", 0, 0}, {"iq4_nl_4_8", 0, 0}, {"iq4_nl_8_8", 0, 0}, {"mxfp4", 32, 17},
    {"nvfp4", 64, 36},  {"q1_0", 128, 18},    {"q2_0", 64, 18},
}};

}  // namespace

std::string gguf_type_name(GgufType type) {
    constexpr std::array<const char *, 13> names = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                    "bool", "string", "array", "u64", "i64", "f64"};
    const auto index = static_cast<uint32_t>(type);
    return index < names.size() ? names[index] : "type " + std::to_string(index);
}

uint64_t gguf_type_bytes(GgufType type) {
    constexpr std::array<uint64_t, 13> sizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const auto index = static_cast<uint32_t>(type);
    return index < sizes.size() ? sizes[index] : 0;
}

const TensorType * find_tensor_type(uint32_t type) {
    return type < tensor_types.size() ? &tensor_types[type] : nullptr;
}

std::string tensor_type_name(uint32_t type) {
    return type < tensor_types.size() ? tensor_types[type].name : "type " + std::to_string(type);
}

}  // namespace shimmy
