#pragma once

#include <memory>
#include <string>

#include "chat.h"

namespace shimmy {

// Compile a template whose every run charges the thread's RenderBudget: loops and calls cost time, range() and
// everything that grows strings or values is bounded, recursion is limited. Its capabilities are probed by running it,
// so a RenderBudget must be in scope. Throws TemplateError when it does not parse or is over a limit of
// template_limits.h.
std::unique_ptr<common_chat_template> compile_guarded(const std::string & source, const std::string & bos_token,
                                                      const std::string & eos_token);

}  // namespace shimmy
