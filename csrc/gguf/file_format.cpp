#include "gguf/file_format.h"

#include <algorithm>

namespace shimmy {

std::string guess_format(std::string_view head, uint64_t size) {
    auto starts = [&](std::string_view prefix) { return head.substr(0, prefix.size()) == prefix; };
    if (size == 0) {
        return "the file is empty: download it again";
    }
    if (starts("version https://git-lfs")) {
        return "this is a git-lfs pointer, not the model itself: run `git lfs pull` in its repository";
    }
    if (starts("FUGG")) {
        return "the magic is byte-swapped: convert the file on this machine";
    }
    if (starts("ggml") || starts("lmgg") || starts("ggjt") || starts("tjgg") || starts("ggmf") || starts("fmgg") ||
        starts("ggla") || starts("algg")) {
        return "this is a GGML file from before GGUF: convert the original model again";
    }
    if (starts("PK\x03\x04") || starts("PK\x05\x06")) {
        return "this is a zip archive (PyTorch checkpoints are, too): unpack it or convert the model to GGUF";
    }
    if (starts("\x1f\x8b")) {
        return "this is a gzip file: unpack it first";
    }
    if (starts("\x28\xb5\x2f\xfd")) {
        return "this is a zstd file: unpack it first";
    }
    if (starts("BZh") ||
        starts("\xfd"
               "7zXZ") ||
        starts("7z\xbc\xaf")) {
        return "this is a compressed archive: unpack it first";
    }
    if (starts("\x80\x02") || starts("\x80\x04") || starts("\x80\x05")) {
        return "this is a pickled PyTorch checkpoint: convert the model to GGUF";
    }
    if (starts("\x89HDF")) {
        return "this is an HDF5 file: convert the model to GGUF";
    }
    if (starts("\x7f"
               "ELF") ||
        starts("MZ")) {
        return "this is a program, not a model";
    }
    if (head.size() > 9 && head[8] == '{' && head.find_first_not_of('\0', 1) != std::string_view::npos) {
        return "this is a safetensors file: convert the model to GGUF";
    }
    const auto text = head.substr(std::min(head.find_first_not_of(" \t\r\n\xef\xbb\xbf"), head.size()));
    if (text.substr(0, 1) == "<") {
        return "this is a web page (HTML or XML), perhaps a login or error page saved by a download: download the "
               "model again";
    }
    if (text.substr(0, 1) == "{" || text.substr(0, 1) == "[") {
        return "this is JSON, perhaps an error message saved by a download or a model's config: get the .gguf file";
    }
    if (std::all_of(head.begin(), head.end(), [](char c) { return c == '\0'; })) {
        return "the file starts with zeros: its download was interrupted or the disk is damaged, download it again";
    }
    return {};
}

}  // namespace shimmy
