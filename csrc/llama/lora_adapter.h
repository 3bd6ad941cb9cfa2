#pragma once
// A LoRA adapter, loaded for one model. Contexts apply it (Context::set_adapters).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llama/model.h"
#include "llama/tokenizer.h"

struct llama_adapter_lora;

namespace shimmy {

class LoraAdapter {
  public:
    // Throws ModelLoadError when the file is damaged, no adapter, or made for another base model.
    static std::shared_ptr<LoraAdapter> load(std::shared_ptr<Model> model, const std::string & path);
    ~LoraAdapter();
    LoraAdapter(const LoraAdapter &) = delete;
    LoraAdapter & operator=(const LoraAdapter &) = delete;

    const std::string & path() const { return path_; }
    const std::shared_ptr<Model> & model() const { return model_; }
    uint64_t fingerprint() const { return fingerprint_; }  // of the whole file, see model_fingerprint.h
    std::map<std::string, std::string> metadata() const;   // scalar GGUF values as text
    std::vector<Token> invocation_tokens() const;          // an aLoRA takes effect from these on; otherwise empty

    llama_adapter_lora * get() const { return adapter_; }

  private:
    LoraAdapter(std::shared_ptr<Model> model, std::string path, uint64_t fingerprint, llama_adapter_lora * adapter);

    std::shared_ptr<Model> model_;
    std::string path_;
    uint64_t fingerprint_;
    llama_adapter_lora * adapter_;
};

}  // namespace shimmy
