// SPDX-License-Identifier: Apache-2.0
// Whole numbers for people: 108,310,272.
#pragma once

#include <cstdint>
#include <string>

namespace bigmodel::app {

/// Groups of three with commas, whatever the locale.
std::string grouped_digits(std::int64_t number);

}  // namespace bigmodel::app
