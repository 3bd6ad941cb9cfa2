#include "gguf/gguf_check.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "errors.h"

namespace {

constexpr uint32_t u16 = 2, u32 = 4, i32 = 5, f32 = 6, string = 8, array = 9;
constexpr uint32_t tensor_f32 = 0, tensor_f16 = 1, tensor_q8_0 = 8;

template <typename T>
std::string raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
}

std::string text(const std::string & value) {
    return raw<uint64_t>(value.size()) + value;
}

struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;
    uint32_t type = tensor_f32;
    uint64_t size = 0;  // bytes
    int64_t shift = 0;  // added to the right offset
};

// A GGUF file in the making: change a part, write it, check it.
struct Gguf {
    std::string magic = "GGUF";
    uint32_t version = 3;
    uint64_t extra_keys = 0;
    uint64_t extra_tensors = 0;
    uint64_t alignment = 32;
    std::vector<std::pair<std::string, std::string>> metadata;  // key, type and value
    std::vector<Tensor> tensors;

    void set(const std::string & key, const std::string & typed_value) {
        for (auto & [name, value] : metadata) {
            if (name == key) {
                value = typed_value;
                return;
            }
        }
        metadata.emplace_back(key, typed_value);
    }
    void set_u32(const std::string & key, uint32_t value) { set(key, raw(u32) + raw(value)); }
    void set_u16(const std::string & key, uint16_t value) { set(key, raw(u16) + raw(value)); }
    void set_f32(const std::string & key, float value) { set(key, raw(f32) + raw(value)); }
    void set_string(const std::string & key, const std::string & value) { set(key, raw(string) + text(value)); }
    void set_strings(const std::string & key, const std::vector<std::string> & values) {
        std::string all = raw(array) + raw(string) + raw<uint64_t>(values.size());
        for (const auto & value : values) {
            all += text(value);
        }
        set(key, all);
    }
    void set_u32s(const std::string & key, const std::vector<uint32_t> & values) {
        std::string all = raw(array) + raw(u32) + raw<uint64_t>(values.size());
        for (const auto value : values) {
            all += raw(value);
        }
        set(key, all);
    }
    void remove(const std::string & key) {
        std::erase_if(metadata, [&](const auto & entry) { return entry.first == key; });
    }

    std::string bytes() const {
        std::string all = magic + raw(version) + raw<uint64_t>(tensors.size() + extra_tensors) +
                          raw<uint64_t>(metadata.size() + extra_keys);
        for (const auto & [key, value] : metadata) {
            all += text(key) + value;
        }
        uint64_t offset = 0;
        for (const auto & tensor : tensors) {
            all += text(tensor.name) + raw<uint32_t>(static_cast<uint32_t>(tensor.shape.size()));
            for (const auto dimension : tensor.shape) {
                all += raw(dimension);
            }
            all += raw(tensor.type) + raw<uint64_t>(offset + static_cast<uint64_t>(tensor.shift));
            offset += padded(tensor.size);
        }
        all.resize(padded(all.size()));
        return all + std::string(offset, '\1');
    }

    uint64_t padded(uint64_t size) const { return (size + alignment - 1) / alignment * alignment; }
};

Gguf small_model() {
    Gguf file;
    file.set_string("general.architecture", "llama");
    file.set_string("general.name", "Small");
    file.set_u32("general.file_type", 1);
    file.set_u32("llama.context_length", 128);
    file.set_u32("llama.embedding_length", 32);
    file.set_u32("llama.block_count", 2);
    file.set_u32("llama.feed_forward_length", 64);
    file.set_u32("llama.attention.head_count", 4);
    file.set_u32("llama.attention.head_count_kv", 2);
    file.set_u32("llama.rope.dimension_count", 8);
    file.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    file.set_string("tokenizer.ggml.model", "gpt2");
    file.set_string("tokenizer.ggml.pre", "qwen2");
    file.set_strings("tokenizer.ggml.tokens", {"a", "b", "ab", "c"});
    file.set_strings("tokenizer.ggml.merges", {"a b"});
    file.set_u32("tokenizer.ggml.eos_token_id", 3);
    file.tensors = {{"token_embd.weight", {32, 4}, tensor_f32, 512}, {"output_norm.weight", {32}, tensor_f32, 128}};
    return file;
}

Gguf small_adapter() {
    Gguf file;
    file.set_string("general.architecture", "llama");
    file.set_string("general.type", "adapter");
    file.set_string("adapter.type", "lora");
    file.set_f32("adapter.lora.alpha", 16);
    file.tensors = {{"token_embd.weight.lora_a", {2, 4}, tensor_f16, 16},
                    {"token_embd.weight.lora_b", {2, 32}, tensor_f16, 128}};
    return file;
}

class TempDir {
  public:
    TempDir() : path_(std::filesystem::temp_directory_path() / ("gguf_check_test-" + std::to_string(counter_++))) {
        std::filesystem::remove_all(path_);
        std::filesystem::create_directories(path_);
    }
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string write(const std::string & name, const std::string & bytes) const {
        std::ofstream(path_ / name, std::ios::binary) << bytes;
        return (path_ / name).string();
    }
    std::string path() const { return path_.string(); }

  private:
    static inline int counter_ = 0;
    std::filesystem::path path_;
};

// The message that a file is refused with; empty when it passes.
std::string refusal(const std::string & bytes) {
    const TempDir dir;
    try {
        shimmy::check_gguf(dir.write("model.gguf", bytes));
        return {};
    } catch (const shimmy::ModelLoadError & error) {
        return error.what();
    }
}

std::string refusal(const std::function<void(Gguf &)> & change) {
    auto file = small_model();
    change(file);
    return refusal(file.bytes());
}

bool mentions(const std::string & message, const std::string & part) {
    CAPTURE(message);
    return message.rfind("model.gguf: ", 0) == 0 && message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a valid model passes and is summarized") {
    const TempDir dir;
    const auto path = dir.write("model.gguf", small_model().bytes());
    const auto summary = shimmy::check_gguf(path);
    CHECK(summary.architecture == "llama");
    CHECK(summary.name == "Small");
    CHECK(shimmy::gguf_kind_name(summary.kind) == "model");
    CHECK(summary.version == 3);
    CHECK(summary.n_tensors == 2);
    CHECK(summary.n_kv == 16);
    CHECK(summary.n_parameters == 160);
    CHECK(summary.file_type == 1);
    CHECK(summary.alignment == 32);
    CHECK(summary.size_bytes == std::filesystem::file_size(path));
    CHECK(summary.context_length == 128);
    CHECK(summary.embedding_length == 32);
    CHECK(summary.block_count == 2);
    CHECK(summary.n_vocab == 4);
    CHECK(summary.split_count == 0);
    CHECK_FALSE(summary.has_chat_template);
    CHECK(shimmy::check_gguf_split(path).n_tensors == 2);
}

TEST_CASE("the kind of a file is told") {
    const TempDir dir;
    auto kind = [&](const Gguf & file) {
        return shimmy::gguf_kind_name(shimmy::read_gguf(dir.write("any.gguf", file.bytes())).kind);
    };
    CHECK(kind(small_adapter()) == "adapter");
    auto file = small_model();
    file.tensors.clear();
    CHECK(kind(file) == "vocab-only");
    file.set_string("general.architecture", "clip");
    CHECK(kind(file) == "projector");
    file = small_model();
    file.set_u16("split.no", 1);
    CHECK(kind(file) == "shard");
}

TEST_CASE("every truncation is refused") {
    const auto bytes = small_model().bytes();
    for (size_t size = 0; size < bytes.size(); size++) {
        CAPTURE(size);
        CHECK_FALSE(refusal(bytes.substr(0, size)).empty());
    }
    CHECK(mentions(refusal(bytes.substr(0, bytes.size() - 100)), "100 of"));
    CHECK(mentions(refusal(bytes.substr(0, bytes.size() - 100)), "download it again"));
}

TEST_CASE("other file formats are named") {
    const std::vector<std::pair<std::string, std::string>> formats = {
        {"", "empty"},
        {std::string("PK\x03\x04") + std::string(60, 'x'), "zip"},
        {raw<uint64_t>(500) + R"({"__metadata__":{"format":"pt"},"weight":{}})", "safetensors"},
        {"<!DOCTYPE html><html><body>Not found</body></html>", "HTML"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs"},
        {"{\"error\": \"not found\"}", "JSON"},
        {std::string("\x1f\x8b\x08", 3) + std::string(60, 'x'), "gzip"},
        {"tjgg" + std::string(60, '\2'), "before GGUF"},
        {"FUGG" + std::string(60, '\0'), "byte-swapped"},
        {std::string(200, '\0'), "zeros"},
        {"nothing in particular, but rather long", "no GGUF model"},
    };
    for (const auto & [bytes, name] : formats) {
        CHECK(mentions(refusal(bytes), name));
    }
}

TEST_CASE("paths that are no files are refused") {
    const TempDir dir;
    CHECK_THROWS_WITH_AS(shimmy::check_gguf(dir.path() + "/none.gguf"),
                         "none.gguf: the file does not exist: check its path", shimmy::ModelLoadError);
    CHECK_THROWS_AS(shimmy::check_gguf(dir.path()), shimmy::ModelLoadError);
}

TEST_CASE("a broken structure is refused by the name of what is broken") {
    const std::vector<std::pair<const char *, std::function<void(Gguf &)>>> cases = {
        {"version", [](Gguf & f) { f.version = 1; }},
        {"version", [](Gguf & f) { f.version = 4; }},
        {"byte order", [](Gguf & f) { f.version = 0x03000000; }},
        {"metadata count", [](Gguf & f) { f.extra_keys = uint64_t{1} << 62; }},
        {"tensor count", [](Gguf & f) { f.extra_tensors = std::numeric_limits<uint64_t>::max() - 2; }},
        {"tensor count", [](Gguf & f) { f.extra_tensors = 1000; }},
        {"is there twice", [](Gguf & f) { f.metadata.push_back(f.metadata[1]); }},
        {"is empty", [](Gguf & f) { f.metadata[1].first = ""; }},
        {"zero byte", [](Gguf & f) { f.metadata[1].first = std::string("a\0b", 3); }},
        {"type 13", [](Gguf & f) { f.set("general.name", raw<uint32_t>(13) + raw<uint32_t>(0)); }},
        {"array of arrays",
         [](Gguf & f) { f.set("general.tags", raw(array) + raw(array) + raw<uint64_t>(1) + raw<uint64_t>(0)); }},
        {"general.tags", [](Gguf & f) { f.set("general.tags", raw(array) + raw(u32) + raw(uint64_t{1} << 61)); }},
        {"general.name", [](Gguf & f) { f.set("general.name", raw(string) + raw(uint64_t{1} << 63)); }},
        {"general.alignment", [](Gguf & f) { f.set_u32("general.alignment", 0); }},
        {"general.alignment", [](Gguf & f) { f.set_u32("general.alignment", 3); }},
        {"general.alignment", [](Gguf & f) { f.set_string("general.alignment", "32"); }},
        {"general.architecture", [](Gguf & f) { f.set_u32("general.architecture", 1); }},
        {"'token_embd.weight' is there twice", [](Gguf & f) { f.tensors.push_back(f.tensors[0]); }},
        {"5 dimensions", [](Gguf & f) { f.tensors[0].shape = {1, 1, 1, 1, 1}; }},
        {"dimension 1 of 0", [](Gguf & f) { f.tensors[0].shape[1] = 0; }},
        {"token_embd.weight", [](Gguf & f) { f.tensors[0].shape = {uint64_t{1} << 40, uint64_t{1} << 40}; }},
        {"token_embd.weight", [](Gguf & f) { f.tensors[0].shape[0] = uint64_t{1} << 63; }},
        {"type 43", [](Gguf & f) { f.tensors[0].type = 43; }},
        {"q4_2", [](Gguf & f) { f.tensors[0].type = 4; }},
        {"blocks of 32", [](Gguf & f) { f.tensors[0] = {"token_embd.weight", {33, 4}, tensor_q8_0, 512}; }},
        {"not aligned", [](Gguf & f) { f.tensors[1].shift = 4; }},
        {"overlaps", [](Gguf & f) { f.tensors[1].shift = -64; }},
        {"leaves a hole", [](Gguf & f) { f.tensors[1].shift = 32; }},
        {"outside of the file", [](Gguf & f) { f.tensors[1].shift = int64_t{1} << 40; }},
        {"tensor name 1", [](Gguf & f) { f.tensors[1].name = std::string(64, 'a'); }},
    };
    for (const auto & [part, change] : cases) {
        CHECK(mentions(refusal(change), part));
    }
}

TEST_CASE("hyperparameters that libllama dies of are refused by their key") {
    const std::vector<std::pair<const char *, std::function<void(Gguf &)>>> cases = {
        {"general.architecture is missing", [](Gguf & f) { f.remove("general.architecture"); }},
        {"llama.block_count is 0", [](Gguf & f) { f.set_u32("llama.block_count", 0); }},
        {"llama.block_count is 513", [](Gguf & f) { f.set_u32("llama.block_count", 513); }},
        {"llama.block_count is 4294967295", [](Gguf & f) { f.set_u32("llama.block_count", UINT32_MAX); }},
        {"llama.block_count is string", [](Gguf & f) { f.set_string("llama.block_count", "2"); }},
        {"llama.embedding_length", [](Gguf & f) { f.set_u32("llama.embedding_length", 0); }},
        {"llama.embedding_length is 34", [](Gguf & f) { f.set_u32("llama.embedding_length", 34); }},
        {"llama.context_length", [](Gguf & f) { f.set_u32("llama.context_length", 0); }},
        {"llama.attention.head_count ", [](Gguf & f) { f.set_u32("llama.attention.head_count", 0); }},
        {"llama.attention.head_count_kv", [](Gguf & f) { f.set_u32("llama.attention.head_count_kv", 0); }},
        {"llama.attention.head_count_kv", [](Gguf & f) { f.set_u32("llama.attention.head_count_kv", 3); }},
        {"3 entries for 2 layers", [](Gguf & f) { f.set_u32s("llama.attention.head_count_kv", {2, 2, 2}); }},
        {"in layer 1", [](Gguf & f) { f.set_u32s("llama.attention.head_count_kv", {2, 0}); }},
        {"llama.attention.value_length", [](Gguf & f) { f.set_u32("llama.attention.value_length", 4); }},
        {"llama.rope.dimension_count", [](Gguf & f) { f.set_u32("llama.rope.dimension_count", 7); }},
        {"llama.rope.scaling.type", [](Gguf & f) { f.set_string("llama.rope.scaling.type", "other"); }},
        {"llama.expert_used_count", [](Gguf & f) { f.set_u32("llama.expert_count", 8); }},
        {"llama.expert_used_count", [](Gguf & f) { f.set_u32("llama.expert_used_count", 2); }},
        {"llama.expert_count", [](Gguf & f) { f.set_u32("llama.expert_count", 5000); }},
        {"llama.nextn_predict_layers", [](Gguf & f) { f.set_u32("llama.nextn_predict_layers", 3); }},
        {"rms_epsilon", [](Gguf & f) { f.set_f32("llama.attention.layer_norm_rms_epsilon", -1.0f); }},
        {"rms_epsilon", [](Gguf & f) { f.set_f32("llama.attention.layer_norm_rms_epsilon", std::nanf("")); }},
        {"output_norm.weight", [](Gguf & f) { f.tensors[1] = {"output_norm.weight", {64}, tensor_f16, 128}; }},
        {"holds i32", [](Gguf & f) { f.tensors[0].type = 26; }},
    };
    for (const auto & [part, change] : cases) {
        CHECK(mentions(refusal(change), part));
    }
}

TEST_CASE("an unknown architecture is left to libllama") {
    CHECK(refusal([](Gguf & f) { f.set_string("general.architecture", "some-future-thing"); }).empty());
}

TEST_CASE("vocabularies that libllama dies of are refused by their key") {
    const std::vector<std::pair<const char *, std::function<void(Gguf &)>>> cases = {
        {"tokens is missing", [](Gguf & f) { f.remove("tokenizer.ggml.tokens"); }},
        {"tokenizer.ggml.tokens", [](Gguf & f) { f.set_strings("tokenizer.ggml.tokens", {}); }},
        {"id 2 twice", [](Gguf & f) { f.set_strings("tokenizer.ggml.tokens", {"a", "b", "a", "c"}); }},
        {"id 1 twice",
         [](Gguf & f) { f.set_strings("tokenizer.ggml.tokens", {"a", std::string("a\0b", 3), "c", "d"}); }},
        {"id 3 twice", [](Gguf & f) { f.set_strings("tokenizer.ggml.tokens", {"a", "[EMPTY_3]", "c", ""}); }},
        {"10000 bytes",
         [](Gguf & f) { f.set_strings("tokenizer.ggml.tokens", {"a", "b", "c", std::string(10000, 'd')}); }},
        {"tokenizer.ggml.tokens", [](Gguf & f) { f.set_u32s("tokenizer.ggml.tokens", {1, 2, 3, 4}); }},
        {"tokenizer.ggml.merges", [](Gguf & f) { f.remove("tokenizer.ggml.merges"); }},
        {"tokenizer.ggml.merges", [](Gguf & f) { f.set_u32s("tokenizer.ggml.merges", {1}); }},
        {"2 entries for 4 tokens",
         [](Gguf & f) {
             f.set("tokenizer.ggml.token_type", raw(array) + raw(i32) + raw<uint64_t>(2) + raw<uint64_t>(1));
         }},
        {"tokenizer.ggml.scores", [](Gguf & f) { f.set_strings("tokenizer.ggml.scores", {"1", "2", "3", "4"}); }},
        {"tokenizer.ggml.eos_token_id is 4", [](Gguf & f) { f.set_u32("tokenizer.ggml.eos_token_id", 4); }},
        {"tokenizer.ggml.bos_token_id is missing", [](Gguf & f) { f.set_string("tokenizer.ggml.model", "bert"); }},
        {"tokenizer.ggml.bos_token_id is missing",
         [](Gguf & f) { f.set("tokenizer.ggml.add_bos_token", raw<uint32_t>(7) + "\1"); }},
        {"rwkv", [](Gguf & f) { f.set_string("tokenizer.ggml.model", "rwkv"); }},
        {"tokenizer.ggml.pre", [](Gguf & f) { f.set_string("tokenizer.ggml.pre", "whitespace"); }},
    };
    for (const auto & [part, change] : cases) {
        CHECK(mentions(refusal(change), part));
    }
}

TEST_CASE("adapters are checked by pairs and against their model") {
    const TempDir dir;
    const auto model = dir.write("base.gguf", small_model().bytes());
    auto adapter_refusal = [&](const std::function<void(Gguf &)> & change) -> std::string {
        auto file = small_adapter();
        change(file);
        try {
            shimmy::check_gguf_adapter(dir.write("model.gguf", file.bytes()), model);
            return {};
        } catch (const shimmy::ModelLoadError & error) {
            return error.what();
        }
    };
    CHECK(adapter_refusal([](Gguf &) {}).empty());
    const std::vector<std::pair<const char *, std::function<void(Gguf &)>>> cases = {
        {"adapter.type", [](Gguf & f) { f.set_string("adapter.type", "dora"); }},
        {"adapter.type", [](Gguf & f) { f.remove("adapter.type"); }},
        {"adapter.lora.alpha", [](Gguf & f) { f.set_u32("adapter.lora.alpha", 16); }},
        {"general.type", [](Gguf & f) { f.set_string("general.type", "model"); }},
        {"general.architecture", [](Gguf & f) { f.set_string("general.architecture", "qwen2"); }},
        {"has no '.lora_b'", [](Gguf & f) { f.tensors.pop_back(); }},
        {"neither", [](Gguf & f) { f.tensors[0].name = "token_embd.weight"; }},
        {"ranks 4 and 2", [](Gguf & f) { f.tensors[0] = {"token_embd.weight.lora_a", {4, 4}, tensor_f16, 32}; }},
        {"made for another model",
         [](Gguf & f) { f.tensors[0] = {"token_embd.weight.lora_a", {2, 5}, tensor_f16, 20}; }},
        {"is not in base.gguf",
         [](Gguf & f) {
             f.tensors[0].name = "blk.9.attn_q.weight.lora_a";
             f.tensors[0].shape = {4, 2};
             f.tensors[1].name = "blk.9.attn_q.weight.lora_b";
         }},
    };
    for (const auto & [part, change] : cases) {
        CHECK(mentions(adapter_refusal(change), part));
    }
}

TEST_CASE("all parts of a split model are found and checked") {
    const TempDir dir;
    auto write_part = [&](
                          int number, const std::function<void(Gguf &)> & change = [](Gguf &) {}) {
        auto file = number == 1 ? small_model() : Gguf{};
        file.tensors = {{"t" + std::to_string(number) + ".weight", {32, 4}, tensor_f32, 512}};
        file.set_u16("split.no", static_cast<uint16_t>(number - 1));
        file.set_u16("split.count", 3);
        file.set("split.tensors.count", raw(i32) + raw<int32_t>(3));
        change(file);
        return dir.write("m-0000" + std::to_string(number) + "-of-00003.gguf", file.bytes());
    };
    auto split_refusal = [](const std::string & path) -> std::string {
        try {
            shimmy::check_gguf_split(path);
            return {};
        } catch (const shimmy::ModelLoadError & error) {
            return error.what();
        }
    };
    auto contains = [](const std::string & message, const std::string & part) {
        CAPTURE(message);
        return message.find(part) != std::string::npos;
    };
    const auto first = write_part(1);
    CHECK(contains(split_refusal(first), "'m-00002-of-00003.gguf' and 1 more is not beside it"));
    const auto second = write_part(2);
    CHECK(contains(split_refusal(first), "'m-00003-of-00003.gguf' is not beside it"));
    write_part(3);
    CHECK(split_refusal(first).empty());
    CHECK(shimmy::check_gguf_split(first).n_tensors == 3);
    CHECK(contains(split_refusal(second), "load the first part"));
    write_part(3, [](Gguf & f) { f.set_u16("split.no", 1); });
    CHECK(contains(split_refusal(first), "m-00003-of-00003.gguf: split.no is 1 and must be 2"));
    write_part(3, [](Gguf & f) { f.set_u32("split.no", 2); });
    CHECK(contains(split_refusal(first), "split.no is u32 and must be u16"));
    write_part(3, [](Gguf & f) { f.tensors[0].name = "t2.weight"; });
    CHECK(contains(split_refusal(first), "'t2.weight' is in another part too"));
    write_part(3, [](Gguf & f) { f.tensors.clear(); });
    CHECK(contains(split_refusal(first), "split.tensors.count is 3 and the parts hold 2"));
    dir.write("other.gguf", "x");
    std::filesystem::rename(first, dir.path() + "/renamed.gguf");
    CHECK(contains(split_refusal(dir.path() + "/renamed.gguf"), "-00001-of-00003.gguf"));
}
