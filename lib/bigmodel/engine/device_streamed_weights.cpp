// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/device_streamed_weights.h"

namespace bigmodel {

struct DeviceStreamedWeights::Lease {
  Lease(DeviceStreamer& s, std::size_t number) : streamer(s), slab(number), memory(s.acquire(number)) {}
  ~Lease() { streamer.release(slab); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  DeviceStreamer& streamer;
  std::size_t slab;
  const std::byte* memory;
};

void DeviceStreamedWeights::add(const std::string& name, const WeightSource& source, std::size_t slab) {
  places_.emplace(name, Place{&source, slab, streamer_.slab(slab).offsets.at(&source)});
}

std::optional<StoredTensor> DeviceStreamedWeights::find(const std::string& name) const {
  const auto it = places_.find(name);
  if (it == places_.end()) return std::nullopt;
  const Place& place = it->second;
  std::shared_ptr<const Lease> lease = leases_[place.slab].lock();
  if (lease == nullptr) {
    lease = std::make_shared<const Lease>(streamer_, place.slab);
    leases_[place.slab] = lease;
  }
  return StoredTensor{{place.source->dtype, place.source->shape, lease->memory + place.offset}, &streamer_.device(), lease};
}

}  // namespace bigmodel
