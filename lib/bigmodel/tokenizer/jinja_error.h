// SPDX-License-Identifier: Apache-2.0
// What a template throws while it is read or rendered: Python's class name, its message, and where in the template.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace bigmodel::tokenizer::jinja {

/// Lines and columns count from 1, columns in code points; line 0 is "not known yet".
struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

class JinjaError : public std::runtime_error {
 public:
  JinjaError(std::string class_name_, const std::string& message, Place place_ = {})
      : std::runtime_error(message), class_name(std::move(class_name_)), place(place_) {}

  std::string class_name;  ///< "TypeError", "UndefinedError", "TemplateSyntaxError" ...
  Place place;             ///< of the innermost expression or statement that failed
};

[[noreturn]] inline void type_error(const std::string& message) { throw JinjaError("TypeError", message); }
[[noreturn]] inline void value_error(const std::string& message) { throw JinjaError("ValueError", message); }
/// A limit of ours, not the language's.
[[noreturn]] inline void limit_error(const std::string& message) { throw JinjaError("LimitError", message); }

}  // namespace bigmodel::tokenizer::jinja
