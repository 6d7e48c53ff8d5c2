// SPDX-License-Identifier: Apache-2.0
// Measures what the tiers of this machine deliver: reads of RAM, of the disk below a folder, and of GPUs and the way to them.
// A second or two each; the results are what planning/time_model takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace bigmodel {

/// Bytes a second that `threads` threads read from buffers far larger than the caches; the best of several passes. `most_bytes` bounds
/// the buffers together. nullopt where they cannot be had.
std::optional<double> probe_memory(int threads, std::uint64_t most_bytes, const std::stop_token& stop = {});

struct DiskProbe {
  std::optional<double> bytes_per_second;
  std::string problem;   ///< why there is no number: "cannot write there", "its file system keeps files in memory"
};

/// Writes `bytes` that do not compress into a file without a name in `folder` (nothing is left behind, whatever happens), then reads it back
/// past the page cache in 16 MiB pieces, `threads` at a time, into memory as the engine has it.
DiskProbe probe_disk(const std::filesystem::path& folder, std::uint64_t bytes, int threads, const std::stop_token& stop = {});

struct GpuProbe {
  std::string name;
  double memory_bytes_per_second = 0;   ///< reading and writing of a copy inside it
  double upload_bytes_per_second = 0;   ///< from pinned RAM
};

/// Of the GPUs that CUDA shows to this process, through the driver's own library (libcuda.so.1). Empty without it. Takes 512 MiB on each
/// for the call; GPUs without so much free are left out.
std::vector<GpuProbe> probe_gpus();

}  // namespace bigmodel
