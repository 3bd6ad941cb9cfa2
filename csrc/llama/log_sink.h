#pragma once
// llama.cpp's log lines: handed to one callback on one thread of their own, and captured to explain failures.

#include <functional>
#include <string>

namespace shimmy {

enum class LogLevel { Debug = 10, Info = 20, Warning = 30, Error = 40 };  // the numbers of Python's logging

using LogCallback = std::function<void(LogLevel, const std::string & line)>;

// Take llama.cpp's log over. Without it lines go to stderr and LogCapture stays empty.
void install_log_sink();

// Replace the callback; an empty one drops the lines. Lines reach it in order, without their newline, on a thread that
// holds no lock of ours. At most 4,096 lines wait; more are counted and reported as one. Returns when the previous
// callback runs no more.
void set_log_callback(LogCallback callback);

// Collects the error lines that llama.cpp logs on this thread.
class LogCapture {
  public:
    LogCapture();
    ~LogCapture();
    LogCapture(const LogCapture &) = delete;
    LogCapture & operator=(const LogCapture &) = delete;

    // The captured lines, joined by "; ", without llama.cpp's function name prefixes. Empty if there were none.
    std::string text() const;

  private:
    std::string lines_;
    std::string * previous_;
};

}  // namespace shimmy
