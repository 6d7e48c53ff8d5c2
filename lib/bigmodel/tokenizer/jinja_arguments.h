// SPDX-License-Identifier: Apache-2.0
// Arguments of a call against a function's parameters, with Python's messages for what does not fit.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "bigmodel/tokenizer/jinja_machine.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

class Bound {
 public:
  /// The first `required` of `parameters` must be given. Throws TypeError.
  Bound(std::string_view function, std::initializer_list<std::string_view> parameters, std::size_t required, Arguments arguments);

  /// nullptr where not given.
  const Value* given(std::size_t at) const { return values_[at].is_missing() ? nullptr : &values_[at]; }
  const Value& operator[](std::size_t at) const { return values_[at]; }
  Value or_else(std::size_t at, Value value) const { return values_[at].is_missing() ? std::move(value) : values_[at]; }
  bool flag(std::size_t at, bool otherwise = false) const { return values_[at].is_missing() ? otherwise : values_[at].truthy(); }
  /// An int within 64 bits. Throws TypeError: 'x' object cannot be interpreted as an integer.
  std::int64_t integer(std::size_t at, std::int64_t otherwise) const;
  /// None and absent are `otherwise`.
  bool has(std::size_t at) const { return !values_[at].is_missing() && !values_[at].is_none(); }
  /// Text of a str; TypeError for others.
  const std::string& text(std::size_t at) const;

 private:
  std::vector<Value> values_;
};

std::int64_t to_integer(const Value& value);

}  // namespace bigmodel::tokenizer::jinja
