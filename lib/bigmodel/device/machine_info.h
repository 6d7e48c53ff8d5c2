// SPDX-License-Identifier: Apache-2.0
// What the machine has: processor, memory with the limits of control groups, NVIDIA driver. Asks /proc and /sys only, so that it
// is quick and cannot hang on a driver; what a GPU has free is the backend's business.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bigmodel {

struct ProcessorInfo {
  std::string model;                  ///< empty where the kernel does not say
  int logical_count = 0;              ///< of the machine
  int usable_count = 0;               ///< by this process's affinity
  std::vector<std::string> features;  ///< those that kernels here ask for and the processor has: avx2, fma, f16c, avx512f, ...
};

struct MemoryInfo {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;          ///< MemAvailable of the machine
  std::optional<std::uint64_t> limit_bytes;   ///< the tightest limit of the process's control groups (v1 or v2)
  std::uint64_t limit_used_bytes = 0;         ///< counted against it, without file cache that can be dropped
  std::string limit_source;                   ///< the file that states it

  /// What this process can still take: the smaller of the machine's and the group's.
  std::uint64_t usable_bytes() const;
};

struct GpuDriverInfo {
  std::string version;                 ///< of the kernel module
  std::vector<std::string> gpu_names;  ///< in PCI order
};

struct MachineInfo {
  ProcessorInfo processor;
  MemoryInfo memory;
  std::optional<GpuDriverInfo> nvidia;
};

/// Reads below `root` ("/" but in tests). What is missing stays empty; throws nothing of its own.
MachineInfo read_machine_info(const std::filesystem::path& root = "/");

struct DiskInfo {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;  ///< for this user
  bool writable = false;
};

/// Of the file system that holds `path`, or would: the nearest folder above it that exists. nullopt where that cannot be asked.
std::optional<DiskInfo> read_disk_info(const std::filesystem::path& path);

}  // namespace bigmodel
