// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/cuda/cuda_devices.h"

#include <algorithm>

namespace bigmodel {

std::vector<GpuMemory> memory_of_cards(std::span<const CudaCard> cards, std::span<const GpuMemory> gpus) {
  std::vector<GpuMemory> out;
  for (const CudaCard& card : cards) {
    const auto it = std::ranges::find_if(gpus, [&card](const GpuMemory& g) { return !g.uuid.empty() && g.uuid == card.uuid; });
    out.push_back(it == gpus.end() ? GpuMemory{} : *it);
  }
  return out;
}

bool has_code_for(int capability, std::span<const int> built, int ptx_from) {
  if (ptx_from > 0 && capability >= ptx_from) return true;
  return std::ranges::any_of(built, [capability](int b) { return b / 10 == capability / 10 && b <= capability; });
}

}  // namespace bigmodel
