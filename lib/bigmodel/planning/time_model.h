// SPDX-License-Identifier: Apache-2.0
// How long a decoding step takes under a device map, from the bytes that it reads on each tier and the tiers' bandwidths.
// A bound by memory traffic (batch 1 to a few): running devices read one after the other, copies from slower tiers overlap with them, but for what is known only
// when it is wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/placement.h"

namespace bigmodel {

/// Bytes per second of each tier. What nobody measured has the assumed values below.
struct TierSpeeds {
  static constexpr double kAccelerator = 1e12, kCpu = 50e9, kDisk = 2e9;

  std::vector<std::pair<DeviceKey, double>> measured;  ///< accelerators by number, "mps", "cpu", "disk"
  std::optional<double> every_accelerator;             ///< "gpu=": those not named
  std::optional<double> link;                          ///< "pcie=": from host memory to an accelerator, if slower than "cpu"

  double of(const DeviceKey& device) const;
  /// What `of` assumes for these devices: "cpu=50GB/s,disk=2GB/s"; empty where all are given.
  std::string assumed(std::span<const DeviceKey> devices) const;
};

/// "0=3.3TB/s,cpu=200GB/s,disk=3GB/s": devices, gpu, pcie; the "/s" may be left out. Throws UsageError.
TierSpeeds parse_tier_speeds(std::span<const std::string> items);

/// "cpu" and "disk" only store beside an accelerator; without one the processor runs.
bool is_accelerator(const DeviceKey& device);

/// What handing the hidden states to another accelerator costs: a launch and a copy of a few kilobytes.
inline constexpr double kHopSeconds = 20e-6;

struct TierLoad {
  DeviceKey device;
  std::int64_t weights_bytes = 0;   ///< with buffers
  std::int64_t cache_bytes = 0;     ///< of what runs here
  double read_bytes = 0;            ///< weights of a step
  double seconds = 0;               ///< of a step: reading here (running devices), or passing through (storing ones)
};

struct Prediction {
  double seconds_per_step = 0;
  double tokens_per_second = 0;      ///< batch / seconds_per_step; of encoders: passes
  std::string bound;                 ///< the tier that decides: "0", "cpu", "disk"
  std::vector<TierLoad> tiers;       ///< in order of first appearance in the map
};

/// A step of `batch` sequences. `parts` should be as fine as the map (placement_parts with no classes kept whole); parts that nothing
/// covers count for the main device, the first accelerator of the map, else the processor. Without `reads_ahead` a processor waits for all that
/// comes from disk.
Prediction predict_time(std::span<const PlacementPart> parts, const DeviceMap& map, const TierSpeeds& speeds, std::int64_t batch, bool reads_ahead = true);

}  // namespace bigmodel
