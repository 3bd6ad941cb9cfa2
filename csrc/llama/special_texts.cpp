#include "llama/special_texts.h"

#include <algorithm>

namespace shimmy {

void SpecialTexts::add(std::string_view text, bool only_parsed) {
    if (text.empty()) {
        return;
    }
    starts_[static_cast<uint8_t>(text[0])] = true;
    uint64_t node = 0;
    for (const char c : text) {
        const auto [edge, fresh] =
            edges_.try_emplace(node << 8 | static_cast<uint8_t>(c), static_cast<uint32_t>(nodes_.size()));
        if (fresh) {
            nodes_.push_back(none);
        }
        node = edge->second;
    }
    nodes_[node] = std::max(nodes_[node], only_parsed ? parsed : always);
}

size_t SpecialTexts::longest_at(std::string_view text, size_t at, bool parse_special) const {
    if (!starts_[static_cast<uint8_t>(text[at])]) {
        return 0;
    }
    size_t longest = 0;
    uint64_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
        const auto edge = edges_.find(node << 8 | static_cast<uint8_t>(text[i]));
        if (edge == edges_.end()) {
            break;
        }
        node = edge->second;
        if (nodes_[node] == always || (nodes_[node] == parsed && parse_special)) {
            longest = i + 1 - at;
        }
    }
    return longest;
}

}  // namespace shimmy
