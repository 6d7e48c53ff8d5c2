// SPDX-License-Identifier: Apache-2.0
#include "render/digits.h"

#include <fmt/format.h>

namespace bigmodel::app {

std::string grouped_digits(std::int64_t number) {
  std::string digits = fmt::format("{}", number);
  for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > (number < 0 ? 1 : 0); i -= 3) {
    digits.insert(static_cast<std::size_t>(i), ",");
  }
  return digits;
}

}  // namespace bigmodel::app
