// What common's chat sources need from the parts of common that are not compiled (argument parsing, downloads, the
// console log), so that they link. Each definition satisfies a declaration of common/common.h or common/log.h.

#include <stdexcept>

#include "common.h"
#include "log.h"

std::string string_join(const std::vector<std::string> & values, const std::string & separator) {
    std::string joined;
    for (const std::string & value : values) {
        if (&value != &values.front()) {
            joined += separator;
        }
        joined += value;
    }
    return joined;
}

std::vector<std::string> string_split(const std::string & str, const std::string & delimiter) {
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t end; (end = str.find(delimiter, begin)) != std::string::npos; begin = end + delimiter.size()) {
        parts.push_back(str.substr(begin, end - begin));
    }
    parts.push_back(str.substr(begin));
    return parts;
}

std::string string_repeat(const std::string & str, size_t n) {
    std::string repeated;
    repeated.reserve(str.size() * n);
    while (n-- > 0) {
        repeated += str;
    }
    return repeated;
}

void string_replace_all(std::string & s, const std::string & search, const std::string & replace) {
    if (search.empty()) {
        return;
    }
    for (size_t at = s.find(search); at != std::string::npos; at = s.find(search, at + replace.size())) {
        s.replace(at, search.size(), replace);
    }
}

// Templates are compiled from text, never from a model: these two are named by common/chat.cpp and never reached.
std::vector<llama_token> common_tokenize(const llama_vocab *, const std::string &, bool, bool) {
    throw std::logic_error("csrc/chat has no vocabulary");
}

std::string common_token_to_piece(const llama_vocab *, llama_token, bool) {
    throw std::logic_error("csrc/chat has no vocabulary");
}

// common's log writes prompts and model output to stdout and stderr from a thread of its own. stdout is the runner's
// pipe, and messages are nobody's to log: nothing is written.
int common_log_get_verbosity_thold(void) {
    return -1;
}

common_log * common_log_main() {
    return nullptr;
}

void common_log_add(common_log *, ggml_log_level, const char *, ...) {}
