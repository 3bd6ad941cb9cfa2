#include "llama/state_frame.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "errors.h"
#include "llama/checksum.h"

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

[[noreturn]] void refuse(const std::string & why) {
    throw InvalidRequestError("this is no usable state: " + why, "state");
}

std::string name_of(uint32_t kind) {
    switch (static_cast<StateKind>(kind)) {
        case StateKind::Context:
            return "a context";
        case StateKind::Sequence:
            return "a sequence";
        case StateKind::Prefix:
            return "an engine's prefix";
    }
    return "something unknown";
}

}  // namespace

std::vector<uint8_t> frame_state(StateKind kind, uint64_t fingerprint, std::span<const Token> tokens,
                                 std::initializer_list<std::span<const uint8_t>> parts) {
    const size_t token_bytes = tokens.size_bytes();
    uint64_t n_bytes = 0;
    for (const auto part : parts) {
        n_bytes += part.size();
    }
    std::vector<uint8_t> framed(sizeof(Header) + token_bytes + n_bytes);
    if (!tokens.empty()) {
        std::memcpy(framed.data() + sizeof(Header), tokens.data(), token_bytes);
    }
    auto end = framed.begin() + static_cast<std::ptrdiff_t>(sizeof(Header) + token_bytes);
    for (const auto part : parts) {
        end = std::copy(part.begin(), part.end(), end);
    }
    const Header header{magic,
                        version,
                        static_cast<uint32_t>(kind),
                        static_cast<uint32_t>(tokens.size()),
                        fingerprint,
                        n_bytes,
                        checksum(std::span(framed).subspan(sizeof(Header)), version)};
    std::memcpy(framed.data(), &header, sizeof(header));
    return framed;
}

StateFrame unframe_state(StateKind kind, uint64_t fingerprint, std::span<const uint8_t> framed) {
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
        refuse("it is the state of " + name_of(header.kind) + ", not of " + name_of(static_cast<uint32_t>(kind)));
    }
    const uint64_t token_bytes = uint64_t{header.n_tokens} * sizeof(Token);
    if (token_bytes > body.size() || header.n_bytes != body.size() - token_bytes) {
        refuse("it is truncated");
    }
    if (header.fingerprint != fingerprint) {
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
