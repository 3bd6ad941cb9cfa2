#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace shimmy {

// A part of a tool call. `id` and `name` are set in the first part of each call only.
struct ToolCallDelta {
    size_t index = 0;
    std::string id;
    std::string name;
    std::string arguments;  // a fragment of JSON text
};

// What one piece of the model's output adds to its message.
struct ChatDelta {
    std::string content;
    std::string reasoning;
    std::vector<ToolCallDelta> tool_calls;

    bool empty() const { return content.empty() && reasoning.empty() && tool_calls.empty(); }
};

}  // namespace shimmy
