// SPDX-License-Identifier: Apache-2.0
// Weights that come in slabs as a map that hooks ask: the first tensor of a slab that is wanted brings the whole slab, the last one let go gives it back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bigmodel/engine/device_streamer.h"
#include "bigmodel/engine/prefetcher.h"
#include "bigmodel/engine/weights_map.h"

namespace bigmodel {

inline const Device& device_of(const Prefetcher&) { return cpu_device(); }
inline const Device& device_of(const DeviceStreamer& streamer) { return streamer.device(); }

/// Called from the thread that runs the model. The source must outlive it and the tensors that it gave out, which are let go by that thread, too.
template <class Source>
class SlabWeights : public WeightsMap {
 public:
  explicit SlabWeights(Source& source) : source_(source), leases_(source.slab_count()) {}

  /// The tensor of that full name is this weight, in that slab.
  void add(const std::string& name, const WeightSource& weight, std::size_t slab) { places_.emplace(name, Place{&weight, slab, source_.slab(slab).offsets.at(&weight)}); }
  bool contains(const std::string& name) const { return places_.contains(name); }

  /// On the source's device. Waits for the disk where it must. Throws what acquire() throws.
  std::optional<StoredTensor> find(const std::string& name) const override {
    const auto it = places_.find(name);
    if (it == places_.end()) return std::nullopt;
    const Place& place = it->second;
    std::shared_ptr<const Lease> lease = leases_[place.slab].lock();
    if (lease == nullptr) {
      lease = std::make_shared<const Lease>(source_, place.slab);
      leases_[place.slab] = lease;
    }
    return StoredTensor{{place.weight->dtype, place.weight->shape, lease->memory + place.offset}, &device_of(source_), lease};
  }

 private:
  struct Place {
    const WeightSource* weight = nullptr;
    std::size_t slab = 0;
    std::uint64_t offset = 0;
  };
  struct Lease {
    Lease(Source& s, std::size_t number) : source(s), slab(number), memory(s.acquire(number)) {}
    ~Lease() { source.release(slab); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Source& source;
    std::size_t slab;
    const std::byte* memory;
  };

  Source& source_;
  std::unordered_map<std::string, Place> places_;
  mutable std::vector<std::weak_ptr<const Lease>> leases_;   ///< of each slab
};

using PrefetchedWeights = SlabWeights<Prefetcher>;
/// Letting go of a slab gives its slot free behind what was queued up to then.
using DeviceStreamedWeights = SlabWeights<DeviceStreamer>;

}  // namespace bigmodel
