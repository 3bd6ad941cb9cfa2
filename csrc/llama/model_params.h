#pragma once
// ModelParams as llama.cpp takes them, with everything that its pointers point to.

#include <llama.h>

#include <list>
#include <string>
#include <vector>

#include "params.h"

namespace shimmy {

class NativeModelParams {
  public:
    // Throws InvalidRequestError naming the field at fault, ModelLoadError for RPC servers that do not answer.
    explicit NativeModelParams(const ModelParams & params);
    NativeModelParams(const NativeModelParams &) = delete;
    NativeModelParams & operator=(const NativeModelParams &) = delete;

    llama_model_params native;

  private:
    void check_main_gpu(const ModelParams & params) const;
    void add_overrides(const ModelParams & params);

    std::vector<ggml_backend_device *> devices_;
    std::vector<float> split_;
    std::list<std::string> patterns_;
    std::vector<llama_model_tensor_buft_override> overrides_;
};

}  // namespace shimmy
