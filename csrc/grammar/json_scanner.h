#pragma once
// JSON text as a flat sequence of events, without recursion and without building anything.

#include <cstddef>
#include <string>
#include <string_view>

namespace shimmy {

class JsonScanner {
  public:
    enum class Event { BeginObject, EndObject, BeginArray, EndArray, Key, String, Number, True, False, Null, End };

    // Nesting over `max_depth` and text that is no JSON throw InvalidRequestError naming `param` and the line.
    JsonScanner(std::string_view text, size_t max_depth, std::string param);

    Event next();

    const std::string & string() const { return string_; }  // of the last Key or String, unescaped
    double number() const { return number_; }               // of the last Number
    size_t depth() const { return open_.size(); }           // after the last event
    size_t offset() const { return at_; }                   // just behind the last event

    [[noreturn]] void fail(const std::string & what) const;

  private:
    enum class Expect { Value, ValueOrEnd, Key, KeyOrEnd, CommaOrEnd, Nothing };

    void skip_blanks();
    void read_string();
    void read_number();
    void read_word(std::string_view word);
    void append_code_point(unsigned code);
    unsigned read_hex();
    Event open(char kind);
    Event close();
    void value_done();

    std::string_view text_;
    size_t max_depth_;
    std::string param_;
    std::string open_;  // the brackets that are open
    size_t at_ = 0;
    Expect expect_ = Expect::Value;
    std::string string_;
    double number_ = 0;
};

}  // namespace shimmy
