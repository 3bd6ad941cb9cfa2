#include "gguf/gguf_head.h"

namespace shimmy {
namespace {

constexpr uint32_t pooling_rank = 4;  // LLAMA_POOLING_TYPE_RANK

}  // namespace

void check_head(const GgufFile & file, const std::string & architecture) {
    const auto key = architecture + ".pooling_type";
    if (file.u32(key) != pooling_rank) {
        return;
    }
    const auto * output = file.find_tensor("cls.output.weight");
    const auto * dense = file.find_tensor("cls.weight");
    if (output == nullptr && dense == nullptr) {
        file.fail(key, "is 4 (rank) and the file has no classification head: convert the model again");
    }
    const auto * labels = file.find(architecture + ".classifier.output_labels");
    const uint64_t n_labels = labels == nullptr || labels->type != GgufType::array ? 1 : labels->count;
    const auto & head = output == nullptr ? *dense : *output;
    if (head.shape[1] != n_labels) {
        file.fail("tensor '" + head.name + "'", "gives " + std::to_string(head.shape[1]) +
                                                    " values and the classification has " + std::to_string(n_labels) +
                                                    " labels: convert the model again");
    }
}

}  // namespace shimmy
