// SPDX-License-Identifier: Apache-2.0
// Foreign bytes (names of tensors and files) as they may be shown: control characters must not reach a terminal.
#pragma once

#include <string>
#include <string_view>

namespace bigmodel::app {

/// A line end becomes a blank, other control characters \x1b.
std::string one_line(std::string_view text);

}  // namespace bigmodel::app
