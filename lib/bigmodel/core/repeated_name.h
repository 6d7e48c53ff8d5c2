// SPDX-License-Identifier: Apache-2.0
// Finds a name that occurs twice without copying any.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace bigmodel {

/// The first one, in their order, that was there before.
inline std::optional<std::string_view> repeated_name(const std::vector<std::string_view>& names) {
  constexpr std::size_t kFew = 16;
  if (names.size() <= kFew) {
    for (auto it = names.begin(); it != names.end(); ++it) {
      if (std::find(names.begin(), it, *it) != it) return *it;
    }
    return std::nullopt;
  }
  std::unordered_set<std::string_view> seen;
  seen.reserve(names.size());
  for (const std::string_view name : names) {
    if (!seen.insert(name).second) return name;
  }
  return std::nullopt;
}

}  // namespace bigmodel
