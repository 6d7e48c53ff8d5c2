// SPDX-License-Identifier: Apache-2.0
// "did you mean ...?": the nearest of a set of known names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

/// Names close enough to be a typo of `name` (restricted edit distance at most a third of its length) or begun by it (three
/// characters or more; counts as a distance of one), nearest first, ties in the order given; at most `limit`.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> known, std::size_t limit = 3);

/// "did you mean 'x'?" or empty.
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

}  // namespace bigmodel
