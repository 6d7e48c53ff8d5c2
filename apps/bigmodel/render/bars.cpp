// SPDX-License-Identifier: Apache-2.0
#include "render/bars.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace bigmodel::app {

std::string bar(double share, int cells, const Terminal& terminal) {
  static constexpr std::string_view kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (std::isnan(share)) share = 0;
  const int steps = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * cells * 8));
  std::string out;
  const int full = terminal.unicode ? steps / 8 : (steps + 4) / 8;
  for (int i = 0; i < full; ++i) out += terminal.unicode ? "█" : "#";
  int used = full;
  if (terminal.unicode && steps % 8 != 0) {
    out += kEighths[steps % 8];
    ++used;
  }
  for (; used < cells; ++used) out += terminal.unicode ? " " : ".";
  return out;
}

}  // namespace bigmodel::app
