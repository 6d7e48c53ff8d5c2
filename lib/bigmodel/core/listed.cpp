// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/listed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace bigmodel {

std::string listed(std::span<const std::string> names, std::size_t shown) {
  std::string out = fmt::format("{}", fmt::join(names.first(std::min(names.size(), shown)), ", "));
  if (names.size() > shown) out += fmt::format(" and {} more", names.size() - shown);
  return out;
}

}  // namespace bigmodel
