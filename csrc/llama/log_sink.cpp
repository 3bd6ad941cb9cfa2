#include "llama/log_sink.h"

#include <ggml.h>
#include <llama.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "errors.h"

namespace shimmy {
namespace {

constexpr size_t max_waiting_lines = 4096;
constexpr size_t max_captured_bytes = 2000;
constexpr size_t max_recent_errors = 4;
constexpr std::chrono::seconds recent{5};

thread_local LogCapture * capture = nullptr;
thread_local std::string unfinished;  // a line that a CONT message may go on
thread_local LogLevel unfinished_level = LogLevel::Info;
thread_local bool forwarding = false;  // on the sink's own thread

LogLevel level_of(ggml_log_level level, LogLevel previous) {
    switch (level) {
        case GGML_LOG_LEVEL_ERROR:
            return LogLevel::Error;
        case GGML_LOG_LEVEL_WARN:
            return LogLevel::Warning;
        case GGML_LOG_LEVEL_CONT:
            return previous;
        case GGML_LOG_LEVEL_DEBUG:
            return LogLevel::Debug;
        default:
            return LogLevel::Info;
    }
}

class LogSink {
  public:
    ~LogSink() { stop(); }

    void set(LogCallback callback) {
        if (forwarding) {
            throw InvalidRequestError("a log callback cannot replace itself: set another one from outside of it");
        }
        std::lock_guard serial(change_);
        stop();
        if (!callback) {
            return;
        }
        std::lock_guard lock(mutex_);
        callback_ = std::move(callback);
        stopping_ = false;
        thread_ = std::thread([this] { run(); });
    }

    void push(LogLevel level, std::string line) {
        std::lock_guard lock(mutex_);
        if (!callback_) {
            return;
        }
        if (lines_.size() >= max_waiting_lines) {
            ++dropped_;
            return;
        }
        lines_.emplace_back(level, std::move(line));
        ready_.notify_one();
    }

  private:
    void stop() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
            ready_.notify_one();
        }
        if (thread_.joinable()) {
            thread_.join();
        }
        LogCallback last;  // ends without the lock: what that runs, or whom it waits for, may log
        std::lock_guard lock(mutex_);
        last.swap(callback_);
        lines_.clear();
    }

    void run() {
        forwarding = true;
        std::unique_lock lock(mutex_);
        for (;;) {
            ready_.wait(lock, [this] { return stopping_ || !lines_.empty(); });
            if (lines_.empty()) {
                return;
            }
            auto lines = std::exchange(lines_, {});
            if (dropped_ > 0) {
                lines.emplace_back(LogLevel::Warning,
                                   std::to_string(std::exchange(dropped_, 0)) + " log lines dropped");
            }
            lock.unlock();
            for (const auto & [level, line] : lines) {
                callback_(level, line);
            }
            lock.lock();
        }
    }

    std::mutex change_;  // one set() at a time
    std::mutex mutex_;   // everything below
    std::condition_variable ready_;
    std::deque<std::pair<LogLevel, std::string>> lines_;
    size_t dropped_ = 0;
    bool stopping_ = false;
    LogCallback callback_;
    std::thread thread_;
};

class ErrorMemory {
  public:
    void add(const std::string & line) {
        std::lock_guard lock(mutex_);
        lines_.emplace_back(Clock::now(), line);
        if (lines_.size() > max_recent_errors) {
            lines_.pop_front();
        }
    }

    std::vector<std::string> get() {
        std::lock_guard lock(mutex_);
        std::vector<std::string> found;
        for (const auto & [when, line] : lines_) {
            if (Clock::now() - when <= recent) {
                found.push_back(line);
            }
        }
        return found;
    }

  private:
    using Clock = std::chrono::steady_clock;

    std::mutex mutex_;
    std::deque<std::pair<Clock::time_point, std::string>> lines_;
};

ErrorMemory & errors() {
    static auto * instance = new ErrorMemory;  // as the sink below
    return *instance;
}

LogSink & sink() {
    static auto * instance = new LogSink;  // never destroyed: other threads may log while statics go away
    return *instance;
}

void finish_line() {
    if (unfinished.empty()) {
        return;
    }
    auto line = std::exchange(unfinished, {});
    if (unfinished_level == LogLevel::Error) {
        errors().add(line);
    }
    if (!capture || !capture->take(unfinished_level, line)) {
        sink().push(unfinished_level, std::move(line));
    }
}

void on_log(ggml_log_level level, const char * text, void *) {
    if (level != GGML_LOG_LEVEL_CONT) {
        finish_line();
    }
    unfinished_level = level_of(level, unfinished_level);
    for (const char * at = text; *at; ++at) {
        if (*at == '\n') {
            finish_line();
        } else {
            unfinished += *at;
        }
    }
}

}  // namespace

void install_log_sink() {
    llama_log_set(on_log, nullptr);
}

void set_log_callback(LogCallback callback) {
    install_log_sink();
    sink().set(std::move(callback));
}

std::vector<std::string> recent_errors() {
    return errors().get();
}

LogCapture::LogCapture(Lines lines) : lines_(lines), previous_(capture) {
    capture = this;
}

LogCapture::~LogCapture() {
    capture = previous_;
    for (auto & [level, line] : held_) {
        sink().push(excused_ ? LogLevel::Debug : level, std::move(line));
    }
}

bool LogCapture::take(LogLevel level, const std::string & line) {
    if (level == LogLevel::Error && text_.size() < max_captured_bytes) {
        const auto colon = line.find(": ");
        const bool prefixed = colon != std::string::npos && line.find(' ') > colon;
        text_ += text_.empty() ? "" : "; ";
        text_ += prefixed ? line.substr(colon + 2) : line;
    }
    if (lines_ == Lines::PassOn || held_.size() >= max_waiting_lines) {
        return false;
    }
    held_.emplace_back(level, line);
    return true;
}

}  // namespace shimmy
