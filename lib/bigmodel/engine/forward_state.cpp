// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/forward_state.h"

#include "bigmodel/engine/device_numbers.h"

#include <algorithm>

namespace bigmodel {

DeviceNumbers& ForwardState::numbers() {
  if (device_numbers == nullptr) device_numbers = std::make_shared<DeviceNumbers>();
  return *device_numbers;
}

void place_tokens(ForwardState& state) {
  state.positions.resize(static_cast<std::size_t>(state.batch * state.length));
  state.longest = 0;
  for (std::int64_t b = 0; b < state.batch; ++b) {
    std::int64_t count = 0;
    for (std::int64_t c = 0; c < state.columns(); ++c) {
      if (state.is_token(b, c)) ++count;
      if (c < state.past) continue;
      const std::int64_t delta = state.past > 0 && !state.position_delta.empty() ? state.position_delta[static_cast<std::size_t>(b)] : 0;
      const std::int64_t position = std::max<std::int64_t>(count - 1 + delta, 0);
      state.positions[static_cast<std::size_t>(b * state.length + c - state.past)] = position;
      state.longest = std::max(state.longest, position + 1);
    }
  }
}

}  // namespace bigmodel
