// SPDX-License-Identifier: Apache-2.0
// The accelerators of a run: which cards there are, what they may take, and their contexts once something lies on them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bigmodel/device/cuda/cuda_devices.h"
#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/time_model.h"

namespace bigmodel::app {

class RunDevices {
 public:
  /// Asks driver and management library; makes no context. Cards of CUDA_VISIBLE_DEVICES alone.
  RunDevices();

  /// Number of each usable card, and what can be taken of it: nine tenths of what is free.
  const std::vector<std::pair<std::int64_t, std::int64_t>>& usable() const noexcept { return usable_; }
  /// The map's accelerators as numbers. Throws DeviceError, with what stands in the way, for one that cannot be used.
  std::vector<std::int64_t> needed(const DeviceMap& map, std::string_view option = "--device-map") const;
  /// Contexts and kernels for the map's accelerators; a table of them, in CUDA's order, which lives as long as this. Throws DeviceError, CapacityError.
  const DeviceTable& open(const DeviceMap& map);
  /// Stated bandwidths of the cards, where the table of devices knows them and `speeds` says nothing.
  TierSpeeds with_stated(TierSpeeds speeds) const;

 private:
  CudaState state_;
  std::vector<std::pair<std::int64_t, std::int64_t>> usable_;
  std::vector<std::unique_ptr<Accelerator>> cards_;
  DeviceTable table_;
};

}  // namespace bigmodel::app
