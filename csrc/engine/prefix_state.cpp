#include "engine/prefix_state.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>

#include "errors.h"
#include "llama/checksum.h"
#include "llama/state_frame.h"

namespace shimmy {
namespace {

struct Header {
    uint64_t adapters;
    uint32_t n_cells;
    uint32_t n_settings;
};

// Models with a long and a short set of rope factors choose one by the length of a sequence.
bool long_rope(const Context & context) {
    const auto & model = *context.model();
    const auto original = model.metadata_value(model.architecture() + ".rope.scaling.original_context_length");
    return original && context.n_ctx_seq() > std::strtoull(original->c_str(), nullptr, 10);
}

std::span<const uint8_t> bytes_of(const auto & value) {
    return {reinterpret_cast<const uint8_t *>(&value), sizeof(value)};
}

}  // namespace

uint64_t adapters_fingerprint(const AdapterSet & adapters) {
    std::vector<std::pair<uint64_t, double>> parts;
    for (const auto & [adapter, scale] : adapters) {
        parts.emplace_back(adapter->fingerprint(), scale);
    }
    std::sort(parts.begin(), parts.end());
    uint64_t hash = 0;
    for (const auto & [fingerprint, scale] : parts) {
        hash = checksum(bytes_of(scale), checksum(bytes_of(fingerprint), hash));
    }
    return hash;
}

std::string state_settings(const Context & context) {
    const auto & params = context.params();
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << "type_k=" << params.type_k << " type_v=" << params.type_v << " rope_freq_base=" << params.rope_freq_base
         << " rope_freq_scale=" << params.rope_freq_scale << " swa_full=" << params.swa_full;
    if (context.n_ctx_seq() != context.n_ctx()) {
        text << " kv_unified=0 n_seq_max=" << context.n_seq_max();
    }
    if (long_rope(context)) {
        text << " long rope";
    }
    return text.str();
}

std::vector<uint8_t> write_prefix_state(const Context & context, uint64_t adapters, const PrefixState & prefix) {
    const auto settings = state_settings(context);
    const Header header{adapters, prefix.n_cells, static_cast<uint32_t>(settings.size())};
    const std::span settings_bytes(reinterpret_cast<const uint8_t *>(settings.data()), settings.size());
    return frame_state(StateKind::Prefix, context.model()->fingerprint(), prefix.tokens,
                       {bytes_of(header), settings_bytes, prefix.state});
}

PrefixState read_prefix_state(const Context & context, uint64_t adapters, std::span<const uint8_t> bytes) {
    auto frame = unframe_state(StateKind::Prefix, context.model()->fingerprint(), bytes);
    const auto refuse = [](const std::string & why) {
        throw InvalidRequestError("this is no usable state: " + why, "state");
    };
    Header header{};
    if (frame.data.size() < sizeof(header)) {
        refuse("it is truncated");
    }
    std::memcpy(&header, frame.data.data(), sizeof(header));
    const auto body = frame.data.subspan(sizeof(header));
    if (body.size() < header.n_settings || frame.tokens.empty() || header.n_cells < frame.tokens.size()) {
        refuse("its parts do not fit together");
    }
    const auto expected = state_settings(context);
    const std::string settings(reinterpret_cast<const char *>(body.data()), header.n_settings);
    if (settings != expected) {
        refuse("it was saved with " + settings + ", this context has " + expected);
    }
    if (header.adapters != adapters) {
        refuse("it was computed with other adapters, or other scales of them");
    }
    return {std::move(frame.tokens), header.n_cells, body.subspan(header.n_settings)};
}

}  // namespace shimmy
