#pragma once
// A GGUF header, read without libllama: what a file claims, after every claim was held against the file's own size.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gguf/gguf_type.h"

namespace shimmy {

// Where a value lies in the header. A scalar has count 1 and type == element.
struct GgufValue {
    GgufType type;
    GgufType element;
    uint64_t count;
    uint64_t offset;
};

struct GgufTensor {
    std::string name;
    std::array<uint64_t, 4> shape;  // elements, innermost first; dimensions that the file does not give are 1
    uint32_t type;                  // ggml's number
    uint64_t offset;                // bytes from the start of the data
    uint64_t size_bytes;
};

class GgufFile {
  public:
    // Reads and checks the header's structure; the tensor data is never touched. Memory is bounded by the header's
    // real size, at most 256 MiB. Throws ModelLoadError for anything that is no well-formed, complete GGUF file.
    explicit GgufFile(const std::string & path);

    const std::string & path() const { return path_; }
    const std::string & name() const { return name_; }  // the file's name without its folder
    uint32_t version() const { return version_; }
    uint64_t size_bytes() const { return size_; }
    uint64_t alignment() const { return alignment_; }
    uint64_t data_offset() const { return (pos_ + alignment_ - 1) / alignment_ * alignment_; }  // of the tensors' data
    const std::vector<std::string> & keys() const { return keys_; }
    const std::vector<GgufTensor> & tensors() const { return tensors_; }

    const GgufValue * find(const std::string & key) const;
    const GgufTensor * find_tensor(const std::string & name) const;

    // The value of a key: nothing when it is missing. Throw ModelLoadError when it has another type.
    std::optional<std::string> string(const std::string & key) const;
    std::optional<uint32_t> u32(const std::string & key) const;
    std::optional<uint16_t> u16(const std::string & key) const;
    std::optional<float> f32(const std::string & key) const;
    std::optional<bool> boolean(const std::string & key) const;

    // Elements of an array, or the scalar itself as one element. The views live as long as the GgufFile.
    std::vector<std::string_view> strings(const GgufValue & value) const;
    // Integers and booleans of any width; a u64 beyond 2^63 - 1 is clamped to it.
    std::vector<int64_t> integers(const GgufValue & value) const;
    std::vector<double> floats(const GgufValue & value) const;

    // Throws ModelLoadError "<file>: <field> <what>".
    [[noreturn]] void fail(std::string_view field, const std::string & what) const;

  private:
    void read_metadata(uint64_t n_kv);
    void read_tensors(uint64_t n_tensors);
    GgufValue read_value(const std::string & key);
    void check_alignment();
    void check_magic();
    void check_extents();
    uint64_t read_string_length(std::string_view field, uint64_t limit);
    std::string read_name(std::string_view field, uint64_t limit);
    template <typename T>
    T read(std::string_view field);
    template <typename T>
    T at(uint64_t offset) const;
    void need(std::string_view field, uint64_t n_bytes);
    template <typename T>
    std::optional<T> scalar(const std::string & key, GgufType type) const;

    std::string path_;
    std::string name_;
    uint64_t size_ = 0;
    uint32_t version_ = 0;
    uint64_t alignment_ = 32;
    std::string bytes_;  // the file from its start, as far as it was needed
    uint64_t pos_ = 0;
    std::vector<std::string> keys_;
    std::unordered_map<std::string, GgufValue> values_;
    std::vector<GgufTensor> tensors_;
    std::unordered_map<std::string, size_t> tensor_index_;
};

}  // namespace shimmy
