#include "gguf/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>

#include "errors.h"
#include "gguf/file_format.h"

namespace shimmy {
namespace {

// Far above any real model, far below what would hurt: a header that claims more is damaged or hostile.
constexpr uint64_t max_header_bytes = 256ull << 20;
constexpr uint64_t max_string_bytes = 64ull << 20;
constexpr uint64_t max_array_elements = 1ull << 24;
constexpr uint64_t max_key_bytes = 65535;
constexpr uint64_t max_keys = 1ull << 16;
constexpr uint64_t max_tensors = 1ull << 18;
constexpr uint64_t max_tensor_name_bytes = 63;
constexpr uint64_t max_data_bytes = 1ull << 61;
constexpr uint64_t max_alignment = 1ull << 26;
constexpr uint64_t first_read_bytes = 1ull << 16;

// The least that one entry takes in the file: what bounds a count before anything is allocated for it.
constexpr uint64_t min_key_bytes = 8 + 1 + 4 + 1;
constexpr uint64_t min_tensor_bytes = 8 + 1 + 4 + 4 + 8;

// What a file says may be anything: only short, printable ASCII of it goes into a message.
std::string printable(std::string_view text, size_t limit) {
    std::string shown;
    for (const char c : text.substr(0, limit)) {
        shown += c >= 0x20 && c < 0x7f ? c : '?';
    }
    return text.size() > limit ? shown + "..." : shown;
}

std::string quoted(std::string_view kind, std::string_view name) {
    return std::string(kind) + " '" + printable(name, 80) + "'";
}

}  // namespace

GgufFile::GgufFile(const std::string & path) : path_(path) {
    const auto file_path = std::filesystem::path(std::u8string(path.begin(), path.end()));
    const auto u8name = file_path.filename().u8string();
    name_ = u8name.empty() ? path : std::string(u8name.begin(), u8name.end());
    std::error_code error;
    const auto status = std::filesystem::status(file_path, error);
    if (!std::filesystem::exists(status)) {
        fail("the file", "does not exist: check its path");
    }
    if (std::filesystem::is_directory(status)) {
        fail("the path", "is a folder: give the .gguf file inside it");
    }
    if (!std::filesystem::is_regular_file(status)) {
        fail("the path", "is no regular file: give a .gguf file");
    }
    size_ = std::filesystem::file_size(file_path, error);
    if (error) {
        fail("the file", "cannot be read: " + error.message());
    }
    check_magic();
    version_ = read<uint32_t>("version");
    if ((version_ & 0xffff) == 0 && version_ != 0) {
        fail("version",
             "is byte-swapped: the file was written for a machine of the other byte order, convert it for "
             "this one");
    }
    if (version_ != 2 && version_ != 3) {
        fail("version", "is " + std::to_string(version_) + " and only 2 and 3 can be read: " +
                            (version_ == 1 ? "convert the model again" : "update shimmy or get another file"));
    }
    const auto n_tensors = read<uint64_t>("tensor count");
    const auto n_kv = read<uint64_t>("metadata count");
    if (n_kv > max_keys || n_kv * min_key_bytes > size_ - pos_) {
        fail("metadata count", "claims " + std::to_string(n_kv) + " keys, more than the file can hold: it is damaged");
    }
    if (n_tensors > max_tensors || n_tensors * min_tensor_bytes > size_ - pos_) {
        fail("tensor count",
             "claims " + std::to_string(n_tensors) + " tensors, more than the file can hold: it is damaged");
    }
    read_metadata(n_kv);
    check_alignment();
    read_tensors(n_tensors);
    check_extents();
}

void GgufFile::fail(std::string_view field, const std::string & what) const {
    throw ModelLoadError(name_ + ": " + printable(field, 120) + " " + printable(what, 400));
}

void GgufFile::need(std::string_view field, uint64_t n_bytes) {
    if (n_bytes > size_ - pos_) {
        fail(field, "needs " + std::to_string(n_bytes) + " bytes at offset " + std::to_string(pos_) +
                        " and the file ends at " + std::to_string(size_) + ", " +
                        std::to_string(n_bytes - (size_ - pos_)) +
                        " bytes are missing: it is truncated or damaged, download it again");
    }
    const uint64_t end = pos_ + n_bytes;
    if (end <= bytes_.size()) {
        return;
    }
    if (end > max_header_bytes) {
        fail(field, "reaches beyond the first " + std::to_string(max_header_bytes >> 20) +
                        " MiB of the file, where no header ends: it is damaged");
    }
    const uint64_t have = bytes_.size();
    const uint64_t want = std::min({size_, max_header_bytes, std::max({end, 2 * have, first_read_bytes})});
    std::ifstream in(std::filesystem::path(std::u8string(path_.begin(), path_.end())), std::ios::binary);
    bytes_.resize(want);
    in.seekg(static_cast<std::streamoff>(have));
    if (!in.read(bytes_.data() + have, static_cast<std::streamsize>(want - have))) {
        fail("the file", "cannot be read: check its permissions and the disk");
    }
}

template <typename T>
T GgufFile::at(uint64_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    if constexpr (std::endian::native == std::endian::big) {
        auto * raw = reinterpret_cast<unsigned char *>(&value);
        std::reverse(raw, raw + sizeof(T));
    }
    return value;
}

template <typename T>
T GgufFile::read(std::string_view field) {
    need(field, sizeof(T));
    const T value = at<T>(pos_);
    pos_ += sizeof(T);
    return value;
}

uint64_t GgufFile::read_string_length(std::string_view field, uint64_t limit) {
    const auto length = read<uint64_t>(field);
    if (length > limit || length > size_ - pos_) {
        fail(field, "claims a length of " + std::to_string(length) + " bytes, " +
                        (length > limit ? "more than the " + std::to_string(limit) + " allowed"
                                        : std::to_string(size_ - pos_) + " are left in the file") +
                        ": it is truncated or damaged, download it again");
    }
    need(field, length);
    return length;
}

std::string GgufFile::read_name(std::string_view field, uint64_t limit) {
    const auto length = read_string_length(field, limit);
    std::string name = bytes_.substr(pos_, length);
    pos_ += length;
    if (name.empty()) {
        fail(field, "is empty: the file is damaged");
    }
    if (name.find('\0') != std::string::npos) {
        fail(field, "contains a zero byte: the file is damaged");
    }
    return name;
}

void GgufFile::check_magic() {
    const uint64_t head = std::min<uint64_t>(size_, 64);
    need("the file", head);
    const std::string_view seen(bytes_.data(), head);
    if (seen.substr(0, 4) != "GGUF") {
        const auto guess = guess_format(seen, size_);
        fail("magic", "is not 'GGUF': " + (guess.empty() ? "this is no GGUF model, or a damaged one" : guess));
    }
    pos_ = 4;
}

void GgufFile::read_metadata(uint64_t n_kv) {
    keys_.reserve(n_kv);
    for (uint64_t i = 0; i < n_kv; i++) {
        auto key = read_name("metadata key " + std::to_string(i), max_key_bytes);
        const auto value = read_value(quoted("metadata", key));
        if (!values_.emplace(key, value).second) {
            fail(quoted("metadata", key), "is there twice: the file is damaged");
        }
        keys_.push_back(std::move(key));
    }
}

GgufValue GgufFile::read_value(const std::string & key) {
    GgufValue value{static_cast<GgufType>(read<uint32_t>(key)), {}, 1, 0};
    value.element = value.type;
    if (value.type == GgufType::array) {
        value.element = static_cast<GgufType>(read<uint32_t>(key));
        value.count = read<uint64_t>(key);
        if (value.element == GgufType::array) {
            fail(key, "is an array of arrays, which no model uses: the file is damaged");
        }
    }
    if (value.element != GgufType::string && gguf_type_bytes(value.element) == 0) {
        fail(key, "has " + gguf_type_name(value.element) + ", which GGUF does not have: the file is damaged");
    }
    const uint64_t min_bytes = value.element == GgufType::string ? 8 : gguf_type_bytes(value.element);
    if (value.count > max_array_elements || value.count * min_bytes > size_ - pos_) {
        fail(key, "claims " + std::to_string(value.count) +
                      " elements, more than the file can hold: it is truncated or damaged, download it again");
    }
    value.offset = pos_;
    if (value.element != GgufType::string) {
        need(key, value.count * min_bytes);
        pos_ += value.count * min_bytes;
        return value;
    }
    for (uint64_t i = 0; i < value.count; i++) {
        pos_ += read_string_length(key, max_string_bytes);
    }
    return value;
}

void GgufFile::check_alignment() {
    const auto value = u32("general.alignment");
    if (!value) {
        return;
    }
    if (!std::has_single_bit(*value) || *value > max_alignment) {
        fail("general.alignment", "is " + std::to_string(*value) + " and must be a power of two: the file is damaged");
    }
    alignment_ = *value;
}

void GgufFile::read_tensors(uint64_t n_tensors) {
    constexpr uint64_t most = std::numeric_limits<int64_t>::max();
    tensors_.reserve(n_tensors);
    for (uint64_t i = 0; i < n_tensors; i++) {
        GgufTensor tensor{read_name("tensor name " + std::to_string(i), max_tensor_name_bytes), {1, 1, 1, 1}, 0, 0, 0};
        const auto field = quoted("tensor", tensor.name);
        const auto n_dims = read<uint32_t>(field);
        if (n_dims > tensor.shape.size()) {
            fail(field,
                 "has " + std::to_string(n_dims) + " dimensions and at most 4 are possible: the file is damaged");
        }
        uint64_t elements = 1;
        for (uint32_t d = 0; d < n_dims; d++) {
            tensor.shape[d] = read<uint64_t>(field);
            if (tensor.shape[d] == 0 || tensor.shape[d] > most / elements) {
                fail(field, "has dimension " + std::to_string(d) + " of " + std::to_string(tensor.shape[d]) +
                                ", which no tensor can have: the file is damaged");
            }
            elements *= tensor.shape[d];
        }
        tensor.type = read<uint32_t>(field);
        const auto * type = find_tensor_type(tensor.type);
        if (type == nullptr || type->block == 0) {
            fail(field, "has type " + tensor_type_name(tensor.type) +
                            ", which this version does not have: update shimmy or quantize the model again");
        }
        if (tensor.shape[0] % type->block != 0 || elements / type->block > most / type->bytes) {
            fail(field, "has rows of " + std::to_string(tensor.shape[0]) + " elements, which " + type->name +
                            " cannot store in blocks of " + std::to_string(type->block) + ": the file is damaged");
        }
        tensor.size_bytes = elements / type->block * type->bytes;
        tensor.offset = read<uint64_t>(field);
        if (!tensor_index_.emplace(tensor.name, i).second) {
            fail(field, "is there twice: the file is damaged");
        }
        tensors_.push_back(std::move(tensor));
    }
}

// Tensors follow each other without holes, each padded to the alignment; the last one's padding may be missing.
void GgufFile::check_extents() {
    const uint64_t data = data_offset();
    uint64_t expected = 0;
    const GgufTensor * last = nullptr;
    for (const auto & tensor : tensors_) {
        const auto field = quoted("tensor", tensor.name);
        if (tensor.offset != expected) {
            const bool outside = tensor.offset > size_;
            fail(field, "is at offset " + std::to_string(tensor.offset) + " and belongs at " +
                            std::to_string(expected) + ": it " +
                            (outside                           ? "lies outside of the file"
                             : tensor.offset % alignment_ != 0 ? "is not aligned"
                             : tensor.offset < expected        ? "overlaps another tensor"
                                                               : "leaves a hole") +
                            ", the file is damaged");
        }
        if (tensor.size_bytes > max_data_bytes || expected > max_data_bytes) {
            fail(field, "is larger than any file: the file is damaged");
        }
        last = &tensor;
        expected += (tensor.size_bytes + alignment_ - 1) / alignment_ * alignment_;
    }
    if (last != nullptr && data + last->offset + last->size_bytes > size_) {
        const uint64_t end = data + last->offset + last->size_bytes;
        const auto first = std::find_if(tensors_.begin(), tensors_.end(), [&](const GgufTensor & tensor) {
            return data + tensor.offset + tensor.size_bytes > size_;
        });
        fail(quoted("tensor", first->name), "lies beyond the end of the file: it is truncated, " +
                                                std::to_string(end - size_) + " of " + std::to_string(end) +
                                                " bytes are missing, download it again");
    }
}

const GgufValue * GgufFile::find(const std::string & key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
}

const GgufTensor * GgufFile::find_tensor(const std::string & name) const {
    const auto found = tensor_index_.find(name);
    return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

template <typename T>
std::optional<T> GgufFile::scalar(const std::string & key, GgufType type) const {
    const auto * value = find(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (value->type != type) {
        fail(key, "is " + gguf_type_name(value->type) + " and must be " + gguf_type_name(type) +
                      ": convert the model again");
    }
    if constexpr (std::is_same_v<T, std::string>) {
        return std::string(strings(*value).front());
    } else if constexpr (std::is_same_v<T, bool>) {
        return at<uint8_t>(value->offset) != 0;
    } else {
        return at<T>(value->offset);
    }
}

std::optional<std::string> GgufFile::string(const std::string & key) const {
    return scalar<std::string>(key, GgufType::string);
}
std::optional<uint32_t> GgufFile::u32(const std::string & key) const {
    return scalar<uint32_t>(key, GgufType::u32);
}
std::optional<uint16_t> GgufFile::u16(const std::string & key) const {
    return scalar<uint16_t>(key, GgufType::u16);
}
std::optional<float> GgufFile::f32(const std::string & key) const {
    return scalar<float>(key, GgufType::f32);
}
std::optional<bool> GgufFile::boolean(const std::string & key) const {
    return scalar<bool>(key, GgufType::boolean);
}

std::vector<std::string_view> GgufFile::strings(const GgufValue & value) const {
    std::vector<std::string_view> texts;
    if (value.element != GgufType::string) {
        return texts;
    }
    texts.reserve(value.count);
    uint64_t offset = value.offset;
    for (uint64_t i = 0; i < value.count; i++) {
        const auto length = at<uint64_t>(offset);
        texts.emplace_back(bytes_.data() + offset + 8, length);
        offset += 8 + length;
    }
    return texts;
}

std::vector<int64_t> GgufFile::integers(const GgufValue & value) const {
    std::vector<int64_t> numbers;
    const uint64_t width = gguf_type_bytes(value.element);
    if (width == 0) {
        return numbers;
    }
    numbers.reserve(value.count);
    for (uint64_t i = 0; i < value.count; i++) {
        const uint64_t offset = value.offset + i * width;
        switch (value.element) {
            case GgufType::u8:
                numbers.push_back(at<uint8_t>(offset));
                break;
            case GgufType::boolean:
                numbers.push_back(at<uint8_t>(offset) != 0);
                break;
            case GgufType::i8:
                numbers.push_back(at<int8_t>(offset));
                break;
            case GgufType::u16:
                numbers.push_back(at<uint16_t>(offset));
                break;
            case GgufType::i16:
                numbers.push_back(at<int16_t>(offset));
                break;
            case GgufType::u32:
                numbers.push_back(at<uint32_t>(offset));
                break;
            case GgufType::i32:
                numbers.push_back(at<int32_t>(offset));
                break;
            case GgufType::i64:
                numbers.push_back(at<int64_t>(offset));
                break;
            case GgufType::u64:
                numbers.push_back(static_cast<int64_t>(
                    std::min<uint64_t>(at<uint64_t>(offset), std::numeric_limits<int64_t>::max())));
                break;
            default:
                return {};
        }
    }
    return numbers;
}

std::vector<double> GgufFile::floats(const GgufValue & value) const {
    std::vector<double> numbers;
    for (uint64_t i = 0; i < value.count; i++) {
        if (value.element == GgufType::f32) {
            numbers.push_back(at<float>(value.offset + 4 * i));
        } else if (value.element == GgufType::f64) {
            numbers.push_back(at<double>(value.offset + 8 * i));
        }
    }
    return numbers;
}

}  // namespace shimmy
