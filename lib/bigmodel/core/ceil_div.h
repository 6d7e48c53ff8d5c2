// SPDX-License-Identifier: Apache-2.0
// Division of counts that rounds up.
#pragma once

#include <concepts>

namespace bigmodel {

/// `count` >= 0, `size` > 0; cannot overflow.
template <std::integral T>
[[nodiscard]] constexpr T ceil_div(T count, T size) noexcept {
  return count / size + (count % size != 0 ? 1 : 0);
}

}  // namespace bigmodel
