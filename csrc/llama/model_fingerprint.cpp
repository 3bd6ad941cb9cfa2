#include "llama/model_fingerprint.h"

#include <algorithm>
#include <fstream>
#include <span>
#include <vector>

#include "errors.h"
#include "llama/checksum.h"

namespace shimmy {
namespace {

constexpr uint64_t head_bytes = 64U << 10;
constexpr uint64_t sample_bytes = 512;
constexpr uint64_t n_samples = 64;

constexpr size_t piece_bytes = 1U << 20;

[[noreturn]] void refuse(const std::string & path) {
    throw ModelLoadError(path + ": the file cannot be read");
}

}  // namespace

uint64_t model_fingerprint(const std::string & path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const auto size = static_cast<uint64_t>(std::max<std::streamoff>(file.tellg(), 0));
    uint64_t hash = size;
    const auto take = [&](uint64_t offset, uint64_t n) {
        std::vector<uint8_t> bytes(std::min(n, size - offset));
        file.seekg(static_cast<std::streamoff>(offset));
        file.read(reinterpret_cast<char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        hash = checksum(bytes, hash);
    };
    take(0, head_bytes);
    for (uint64_t i = 1; i <= n_samples && size > sample_bytes; ++i) {
        take((size - sample_bytes) / n_samples * i, sample_bytes);
    }
    if (!file) {
        refuse(path);
    }
    return hash;
}

uint64_t adapter_fingerprint(const std::string & path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<uint8_t> piece(piece_bytes);
    uint64_t hash = 0;
    uint64_t size = 0;
    while (file) {
        file.read(reinterpret_cast<char *>(piece.data()), static_cast<std::streamsize>(piece.size()));
        const auto n = static_cast<size_t>(file.gcount());
        hash = checksum(std::span(piece).first(n), hash);
        size += n;
    }
    if (!file.eof() || size == 0) {
        refuse(path);
    }
    return hash;
}

}  // namespace shimmy
