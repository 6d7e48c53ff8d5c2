// SPDX-License-Identifier: Apache-2.0
// What NVIDIA GPUs have free, asked of the driver's management library (NVML) where it is installed: no context, no CUDA.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel {

struct GpuMemory {
  std::string name;
  std::string uuid;               ///< "GPU-..."
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};

/// In the library's order (by PCI bus). Empty without driver or library. Loads libnvidia-ml.so.1 for the call.
std::vector<GpuMemory> read_gpu_memory();

/// Those that a list such as CUDA_VISIBLE_DEVICES leaves, in its order: numbers or beginnings of UUIDs; the first entry that names none
/// ends it, as it does in CUDA. nullopt leaves all.
std::vector<GpuMemory> visible_gpus(std::vector<GpuMemory> gpus, const std::optional<std::string>& visible);

}  // namespace bigmodel
