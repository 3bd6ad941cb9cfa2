#pragma once
// llama.cpp's log lines: handed to one callback on one thread of their own, and captured to explain failures.

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace shimmy {

enum class LogLevel { Debug = 10, Info = 20, Warning = 30, Error = 40 };  // the numbers of Python's logging

using LogCallback = std::function<void(LogLevel, const std::string & line)>;

// Take llama.cpp's log over. Without it lines go to stderr and LogCapture stays empty.
void install_log_sink();

// Replace the callback; an empty one drops the lines. Lines reach it in order, without their newline, on a thread that
// holds no lock of ours. At most 4,096 lines wait; more are counted and reported as one. Returns when the previous
// callback runs no more. Throws InvalidRequestError when a callback calls it.
void set_log_callback(LogCallback callback);

// The last error lines, of all threads, that are at most five seconds old: what is known when the process must end.
// They may still wait for the callback.
std::vector<std::string> recent_errors();

// Collects the error lines that llama.cpp logs on this thread.
class LogCapture {
  public:
    enum class Lines { PassOn, Hold };  // held lines are passed on at the end

    explicit LogCapture(Lines lines = Lines::PassOn);
    ~LogCapture();
    LogCapture(const LogCapture &) = delete;
    LogCapture & operator=(const LogCapture &) = delete;

    // The captured lines, joined by "; ", without llama.cpp's function name prefixes. Empty if there were none.
    const std::string & text() const { return text_; }

    // What was complained about is in order: pass the held lines on as Debug.
    void excuse() { excused_ = true; }

    // Called for every line of the thread. False: it is not held.
    bool take(LogLevel level, const std::string & line);

  private:
    Lines lines_;
    bool excused_ = false;
    std::string text_;
    std::vector<std::pair<LogLevel, std::string>> held_;
    LogCapture * previous_;
};

}  // namespace shimmy
