#pragma once

#include <string>
#include <vector>

#include "chat.h"

namespace shimmy {

// Messages in the form that a template takes: content as string or parts, system messages merged where there is no
// system role, arguments of tool calls as objects where the template wants objects.
common_json messages_for_template(const std::vector<common_chat_msg> & messages, const jinja::caps & caps,
                                  const std::string & source);

// What a template's failure means to a caller, from the text of jinja's exception: the message of raise_exception(),
// or the error with its place. Never holds parts of messages other than what the template itself put there.
std::string template_failure(const std::string & what);

std::string trimmed(const std::string & text);

}  // namespace shimmy
