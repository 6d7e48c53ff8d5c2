// SPDX-License-Identifier: Apache-2.0
// The NVIDIA cards of this machine and whether this build can use them. Every build has it; one without the CUDA toolkit says so.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bigmodel/device/accelerator.h"
#include "bigmodel/device/gpu_memory.h"

namespace bigmodel {

struct CudaCard {
  int ordinal = 0;                 ///< "cuda:<ordinal>"
  Accelerator::Description description;
  std::string uuid;                ///< "GPU-...", as NVML writes it (device/gpu_memory.h, which knows what is free)
  std::string problem, remedy;     ///< why it cannot be used; empty: it can
};

struct CudaState {
  bool built = false;              ///< this build has the backend
  int runtime_version = 0;         ///< 1000 * major + 10 * minor of the toolkit; 0: not built
  int driver_version = 0;          ///< of the newest CUDA that the driver knows; 0: no driver answers
  std::vector<CudaCard> cards;     ///< in CUDA's order, CUDA_VISIBLE_DEVICES heeded
  std::string problem, remedy;     ///< why there is no usable card; empty: there is one

  bool usable() const noexcept { return problem.empty(); }
};

/// Makes no context: takes no memory of the cards. Throws nothing of its own.
CudaState read_cuda_state();

/// Makes the card's context. The accelerator has no operations yet: ops/cuda/equip_cuda.h gives it some. Throws DeviceError with the reason and
/// a remedy where the card cannot be used (in a build without the backend always), CapacityError.
std::unique_ptr<Accelerator> open_cuda_card(int ordinal, std::optional<std::uint64_t> budget_bytes = {});

/// What the pool of that card can take: free memory once the context is there, which it makes. 0 where the card cannot be used.
std::uint64_t free_card_bytes(int ordinal);

/// What NVML says of each card (by UUID, as the two number cards differently): entry i is that of cards[i], one without a name where NVML has none.
std::vector<GpuMemory> memory_of_cards(std::span<const CudaCard> cards, std::span<const GpuMemory> gpus);

/// Whether code for `built` architectures (80: kernels for 8.0, which 8.x with x >= 0 runs) or the intermediate code of `ptx_from` (0: none)
/// runs on a card of that compute capability.
bool has_code_for(int capability, std::span<const int> built, int ptx_from);

}  // namespace bigmodel
