#pragma once

#include <string>
#include <vector>

#include "chat.h"

namespace shimmy {

inline constexpr size_t max_messages = 2048;
inline constexpr size_t max_tools = 512;

// OpenAI's messages from JSON text. Null fields count as absent. Throws InvalidRequestError naming
// messages[i].field.
std::vector<common_chat_msg> read_messages(const std::string & text);

// OpenAI's tools from JSON text: an array as a template takes it, keys in their order, or null when there are none.
// Throws InvalidRequestError naming tools[i].field.
common_json read_tools(const std::string & text);

// Variables for the template from JSON text: an object. Throws InvalidRequestError for names that the request itself
// sets.
common_json read_template_kwargs(const std::string & text);

}  // namespace shimmy
