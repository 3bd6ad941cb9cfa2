#include "gguf/gguf_weights.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace shimmy {
namespace {

constexpr uint32_t f32 = 0;
constexpr uint32_t i32 = 26;
constexpr uint32_t i64 = 27;

// Types that no kernel multiplies with: integers, doubles and the intermediate types of quantized products.
constexpr std::array<uint32_t, 7> no_weights = {9, 15, 24, 25, 26, 27, 28};

bool is_index_table(std::string_view name) {
    return name.find("tid2eid") != std::string_view::npos || name.ends_with("d2t") || name.ends_with("d2t.weight");
}

bool is_added_or_scaled(const GgufTensor & tensor) {
    const std::string_view name = tensor.name;
    if (name.ends_with("norm.weight") || name.ends_with(".bias") || name.ends_with("scale")) {
        return true;
    }
    const bool is_vector = tensor.shape[1] * tensor.shape[2] * tensor.shape[3] == 1;
    const bool is_one_row_matrix = name.find("shexp") != std::string_view::npos || name.starts_with("cls");
    return is_vector && !is_one_row_matrix;
}

}  // namespace

void check_weights(const GgufFile & file) {
    for (const auto & tensor : file.tensors()) {
        const bool is_lora = tensor.name.ends_with(".lora_a") || tensor.name.ends_with(".lora_b");
        if (is_index_table(tensor.name)) {
            if (tensor.type != i32 && tensor.type != i64) {
                file.fail("tensor '" + tensor.name + "'", "holds " + tensor_type_name(tensor.type) +
                                                              " and must hold i32 or i64: convert the model again");
            }
        } else if (std::find(no_weights.begin(), no_weights.end(), tensor.type) != no_weights.end()) {
            file.fail("tensor '" + tensor.name + "'",
                      "holds " + tensor_type_name(tensor.type) +
                          ", with which nothing can be computed: quantize the model again");
        } else if (tensor.type != f32 && !is_lora && is_added_or_scaled(tensor)) {
            file.fail("tensor '" + tensor.name + "'",
                      "holds " + tensor_type_name(tensor.type) + " and must hold f32: convert the model again");
        }
    }
}

}  // namespace shimmy
