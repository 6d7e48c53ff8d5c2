// SPDX-License-Identifier: Apache-2.0
// Weights that stream into an accelerator's memory as a map that hooks ask: the first tensor of a slab that is wanted brings the whole slab, the
// last one let go gives its slot free behind what was queued up to then.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "bigmodel/engine/device_streamer.h"
#include "bigmodel/engine/weights_map.h"

namespace bigmodel {

/// Called from the thread that runs the model. The streamer must outlive it and the tensors that it gave out, which are let go by that thread, too.
class DeviceStreamedWeights : public WeightsMap {
 public:
  explicit DeviceStreamedWeights(DeviceStreamer& streamer) : streamer_(streamer), leases_(streamer.slab_count()) {}

  /// The tensor of that full name is this source, in that slab.
  void add(const std::string& name, const WeightSource& source, std::size_t slab);
  bool contains(const std::string& name) const { return places_.contains(name); }
  /// A tensor of the streamer's device. Waits for the disk where it must. Throws what DeviceStreamer::acquire throws.
  std::optional<StoredTensor> find(const std::string& name) const override;

 private:
  struct Place {
    const WeightSource* source = nullptr;
    std::size_t slab = 0;
    std::uint64_t offset = 0;
  };
  struct Lease;
  DeviceStreamer& streamer_;
  std::unordered_map<std::string, Place> places_;
  mutable std::vector<std::weak_ptr<const Lease>> leases_;   ///< of each slab
};

}  // namespace bigmodel
