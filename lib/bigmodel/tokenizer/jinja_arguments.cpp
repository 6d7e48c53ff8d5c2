// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/jinja_arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/tokenizer/jinja_operators.h"

namespace bigmodel::tokenizer::jinja {

Bound::Bound(std::string_view function, std::initializer_list<std::string_view> parameters, std::size_t required, Arguments arguments) {
  const std::size_t count = parameters.size();
  if (arguments.positional.size() > count) {
    const std::string takes = required == count ? fmt::format("{}", count) : fmt::format("from {} to {}", required, count);
    type_error(fmt::format("{}() takes {} positional argument{} but {} were given", function, takes, takes == "1" ? "" : "s",
                           arguments.positional.size()));
  }
  values_.assign(count, Value::missing());
  std::ranges::move(arguments.positional, values_.begin());
  for (auto& [name, value] : arguments.keywords) {
    const auto it = std::find(parameters.begin(), parameters.end(), name);
    if (it == parameters.end()) type_error(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    Value& slot = values_[static_cast<std::size_t>(it - parameters.begin())];
    if (!slot.is_missing()) type_error(fmt::format("{}() got multiple values for argument '{}'", function, name));
    slot = std::move(value);
  }
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < required; ++i) {
    if (values_[i].is_missing()) missing.push_back(fmt::format("'{}'", *(parameters.begin() + i)));
  }
  if (!missing.empty()) {
    std::string names = missing[0];
    for (std::size_t i = 1; i < missing.size(); ++i) {
      names += (i + 1 < missing.size() ? ", " : missing.size() == 2 ? " and " : ", and ") + missing[i];
    }
    type_error(fmt::format("{}() missing {} required positional argument{}: {}", function, missing.size(), missing.size() == 1 ? "" : "s", names));
  }
}

std::int64_t to_integer(const Value& value) {
  const auto i = value.if_int();
  if (!i) type_error("'" + value.type_name() + "' object cannot be interpreted as an integer");
  return clamp_index(*i);
}

std::int64_t Bound::integer(std::size_t at, std::int64_t otherwise) const {
  return values_[at].is_missing() ? otherwise : to_integer(values_[at]);
}

const std::string& Bound::text(std::size_t at) const {
  const Text* text = values_[at].if_text();
  if (text == nullptr) type_error("must be str, not " + values_[at].type_name());
  return text->bytes;
}

}  // namespace bigmodel::tokenizer::jinja
