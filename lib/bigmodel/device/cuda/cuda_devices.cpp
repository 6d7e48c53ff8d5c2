// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_devices.h"

#include <algorithm>

namespace bigmodel {

bool has_code_for(int capability, std::span<const int> built, int ptx_from) {
  if (ptx_from > 0 && capability >= ptx_from) return true;
  return std::ranges::any_of(built, [capability](int b) { return b / 10 == capability / 10 && b <= capability; });
}

}  // namespace bigmodel
