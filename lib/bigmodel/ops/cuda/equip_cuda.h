// SPDX-License-Identifier: Apache-2.0
// Brings a card and its kernels together. Every build has it; one without the CUDA toolkit has no card to equip.
#pragma once

#include <memory>
#include <vector>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/device/cuda/cuda_devices.h"

namespace bigmodel::ops {

/// Gives a card that open_cuda_card() opened its operations: own kernels, and cuBLASLt for many rows where it is installed. Throws DeviceError,
/// CapacityError.
void equip_cuda(Accelerator& card);

struct OpenedCards {
  std::vector<std::unique_ptr<Accelerator>> cards;   ///< equipped, in CUDA's order
  CudaState state;                                   ///< says why there are none, and why some were left out
};

/// Every usable card; `budget_bytes` for each, in CUDA's order (fewer: the rest has none). Throws what open_cuda_card throws of a card that
/// seemed usable.
OpenedCards open_cuda_cards(const std::vector<std::uint64_t>& budget_bytes = {});

}  // namespace bigmodel::ops
