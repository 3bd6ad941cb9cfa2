#pragma once
// Finds stop strings in streamed text and holds back what might become one.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shimmy {

class StopMatcher {
  public:
    explicit StopMatcher(std::vector<std::string> stop);

    struct Match {
        std::string text;                 // can be shown
        std::optional<std::string> stop;  // the stop string that follows it; nothing is shown after that
    };

    // Take more text. The stop string that ends first wins, as if the text came byte by byte; of those ending together,
    // the longest.
    Match push(std::string_view text);

    // The text that was held back in case it became a stop string.
    std::string flush();

  private:
    std::vector<std::string> stop_;
    std::string held_;
};

}  // namespace shimmy
