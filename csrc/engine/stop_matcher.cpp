#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace shimmy {

StopMatcher::StopMatcher(std::vector<std::string> stop) : stop_(std::move(stop)) {
    std::erase(stop_, std::string());
}

StopMatcher::Match StopMatcher::push(std::string_view text) {
    if (stop_.empty()) {
        return {std::string(text), std::nullopt};
    }
    held_ += text;
    size_t end = std::string::npos;
    const std::string * found = nullptr;
    for (const auto & stop : stop_) {
        const size_t at = held_.find(stop);
        const size_t this_end = at == std::string::npos ? at : at + stop.size();
        if (this_end < end || (this_end == end && found && stop.size() > found->size())) {
            end = this_end;
            found = &stop;
        }
    }
    if (found) {
        Match match{held_.substr(0, end - found->size()), *found};
        held_.clear();
        return match;
    }
    size_t keep = 0;
    for (const auto & stop : stop_) {
        for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
            if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) {
                keep = n;
            }
        }
    }
    Match match{held_.substr(0, held_.size() - keep), std::nullopt};
    held_.erase(0, held_.size() - keep);
    return match;
}

std::string StopMatcher::flush() {
    return std::exchange(held_, {});
}

}  // namespace shimmy
