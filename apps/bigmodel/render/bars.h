// SPDX-License-Identifier: Apache-2.0
// Bars: a share as a row of blocks, to an eighth of a cell; plain characters where the terminal is ASCII.
#pragma once

#include <string>

#include "render/terminal.h"

namespace bigmodel::app {

/// `share` from 0 to 1 (clamped; NaN counts as 0) of `cells` cells; always exactly that wide.
std::string bar(double share, int cells, const Terminal& terminal);

}  // namespace bigmodel::app
