#include "llama/state_frame.h"

#include <llama.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "errors.h"

namespace shimmy {
namespace {

struct Header {
    uint32_t magic;
    uint32_t version;
    uint32_t kind;
    uint32_t n_tokens;
    uint64_t fingerprint;
    uint64_t n_bytes;
    uint64_t checksum;
};

constexpr uint32_t magic = 0x534D4853;  // "SHMS"
constexpr uint32_t version = 1;

// Eight bytes at a time through the finaliser of SplitMix64 (Steele et al. 2014): detects damage, no defence against
// forgery.
uint64_t checksum(std::span<const uint8_t> bytes, uint64_t hash) {
    const auto mix = [](uint64_t x) {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
        return x ^ (x >> 31);
    };
    size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, 8);
        hash = mix(hash + 0x9E3779B97F4A7C15ULL + word);
    }
    uint64_t tail = 0;
    if (at < bytes.size()) {
        std::memcpy(&tail, bytes.data() + at, bytes.size() - at);
    }
    return mix(hash + 0x9E3779B97F4A7C15ULL + tail + (static_cast<uint64_t>(bytes.size()) << 32));
}

uint64_t fingerprint(const llama_model * model) {
    char description[256];
    const int32_t length = llama_model_desc(model, description, sizeof(description));
    const uint64_t numbers[] = {
        llama_model_size(model),
        llama_model_n_params(model),
        static_cast<uint64_t>(llama_model_n_layer(model)),
        static_cast<uint64_t>(llama_model_n_embd(model)),
        static_cast<uint64_t>(llama_vocab_n_tokens(llama_model_get_vocab(model))),
    };
    const auto * text = reinterpret_cast<const uint8_t *>(description);
    const auto hash = checksum({text, static_cast<size_t>(length < 0 ? 0 : std::min<size_t>(length, 255))}, 1);
    return checksum({reinterpret_cast<const uint8_t *>(numbers), sizeof(numbers)}, hash);
}

[[noreturn]] void refuse(const std::string & why) {
    throw InvalidRequestError("this is no usable state: " + why, "state");
}

}  // namespace

std::vector<uint8_t> frame_state(StateKind kind, const llama_model * model, std::span<const Token> tokens,
                                 std::span<const uint8_t> data) {
    const size_t token_bytes = tokens.size_bytes();
    std::vector<uint8_t> framed(sizeof(Header) + token_bytes + data.size());
    if (!tokens.empty()) {
        std::memcpy(framed.data() + sizeof(Header), tokens.data(), token_bytes);
    }
    std::memcpy(framed.data() + sizeof(Header) + token_bytes, data.data(), data.size());
    const Header header{magic,
                        version,
                        static_cast<uint32_t>(kind),
                        static_cast<uint32_t>(tokens.size()),
                        fingerprint(model),
                        data.size(),
                        checksum(std::span(framed).subspan(sizeof(Header)), version)};
    std::memcpy(framed.data(), &header, sizeof(header));
    return framed;
}

StateFrame unframe_state(StateKind kind, const llama_model * model, std::span<const uint8_t> framed) {
    Header header{};
    if (framed.size() < sizeof(header)) {
        refuse("it has " + std::to_string(framed.size()) + " bytes, fewer than its header");
    }
    std::memcpy(&header, framed.data(), sizeof(header));
    const auto body = framed.subspan(sizeof(header));
    if (header.magic != magic || header.version != version) {
        refuse("it was not written by this version of shimmy");
    }
    if (header.kind != static_cast<uint32_t>(kind)) {
        refuse(kind == StateKind::Context ? "it is the state of a sequence, not of a context"
                                          : "it is the state of a context, not of a sequence");
    }
    const uint64_t token_bytes = uint64_t{header.n_tokens} * sizeof(Token);
    if (token_bytes > body.size() || header.n_bytes != body.size() - token_bytes) {
        refuse("it is truncated");
    }
    if (header.fingerprint != fingerprint(model)) {
        refuse("it belongs to another model");
    }
    if (header.checksum != checksum(body, version)) {
        refuse("its checksum is wrong, so it is damaged");
    }
    StateFrame frame{std::vector<Token>(header.n_tokens), body.subspan(token_bytes)};
    if (header.n_tokens > 0) {
        std::memcpy(frame.tokens.data(), body.data(), token_bytes);
    }
    return frame;
}

}  // namespace shimmy
