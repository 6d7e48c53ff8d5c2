// SPDX-License-Identifier: Apache-2.0
// A list of names in a sentence, cut short.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace bigmodel {

/// "a, b and 7 more": the first `shown`, and how many more there are; all of them where there are no more than that.
std::string listed(std::span<const std::string> names, std::size_t shown);

}  // namespace bigmodel
