// SPDX-License-Identifier: Apache-2.0
// Chat templates: the Jinja that the Hub's models carry, rendered as transformers' apply_chat_template(tokenize=False) does.
// Own interpreter: a template sees only the values handed in, calls nothing outside, and is bounded in steps, depth and output.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/core/error.h"

namespace bigmodel::tokenizer {

/// What `strftime_now` shows. The caller reads the clock and the time zone.
struct LocalTime {
  int year = 1970;
  int month = 1;   ///< 1 to 12
  int day = 1;     ///< 1 to 31
  int hour = 0;
  int minute = 0;
  int second = 0;
  int microsecond = 0;
  int utc_offset_seconds = 0;  ///< only `%s` needs it
};

struct ChatTemplateLimits {
  std::uint64_t steps = 20'000'000;              ///< evaluated nodes; building big values costs steps too
  std::uint32_t depth = 220;                     ///< macros in macros, recursive loops, nested repr
  std::uint64_t text_bytes = std::uint64_t{64} << 20;  ///< of the output and of every single value
};

/// The arguments of apply_chat_template as JSON texts; an empty text is None. Objects keep their order.
struct ChatRequest {
  std::string messages = "[]";   ///< array of objects
  std::string tools;             ///< array of objects
  std::string documents;         ///< array of objects
  std::string variables;         ///< object: special tokens and further keyword arguments of the template
  bool add_generation_prompt = false;
  std::string continue_final_message;  ///< "" = off, else the field to continue, usually "content"
  LocalTime now;
};

struct RenderedChat {
  std::string text;  ///< UTF-8
  /// [begin, end) in code points of `text`: what stands between {% generation %} and {% endgeneration %}.
  std::vector<std::pair<std::int64_t, std::int64_t>> generation;
};

/// A template that does not parse, or refuses its input. Kind `format`, or `usage` where the request is at fault.
class ChatTemplateError : public Error {
 public:
  ChatTemplateError(ErrorKind kind, std::string class_name, std::string detail, std::uint32_t line, std::uint32_t column);

  const std::string& class_name() const noexcept { return class_name_; }  ///< Python's: "TemplateSyntaxError", "TypeError" ...
  const std::string& detail() const noexcept { return detail_; }          ///< the message alone, without the place
  std::uint32_t line() const noexcept { return line_; }                   ///< from 1; 0 where no line is to blame
  std::uint32_t column() const noexcept { return column_; }               ///< from 1, in code points

 private:
  std::string class_name_;
  std::string detail_;
  std::uint32_t line_;
  std::uint32_t column_;
};

/// A parsed template. Immutable; one may be rendered by several threads at once.
class ChatTemplate {
 public:
  /// Throws ChatTemplateError with line and column.
  static ChatTemplate parse(std::string_view text);

  /// Throws ChatTemplateError; FormatError for JSON that does not parse.
  RenderedChat render(const ChatRequest& request, const ChatTemplateLimits& limits = {}) const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  struct Parsed;
  explicit ChatTemplate(std::unique_ptr<const Parsed> parsed);
  std::unique_ptr<const Parsed> parsed_;
};

/// parse and render in the reference's order: an empty conversation is refused before the template is read.
RenderedChat apply_chat_template(std::string_view text, const ChatRequest& request, const ChatTemplateLimits& limits = {});

}  // namespace bigmodel::tokenizer
