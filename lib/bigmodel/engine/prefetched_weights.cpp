// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/prefetched_weights.h"

namespace bigmodel {

struct PrefetchedWeights::Lease {
  Lease(Prefetcher& p, std::size_t number) : prefetcher(p), slab(number), memory(p.acquire(number)) {}
  ~Lease() { prefetcher.release(slab); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Prefetcher& prefetcher;
  std::size_t slab;
  const std::byte* memory;
};

void PrefetchedWeights::add(const std::string& name, const WeightSource& source, std::size_t slab) {
  places_.emplace(name, Place{&source, slab, prefetcher_.slab(slab).offsets.at(&source)});
}

std::optional<StoredTensor> PrefetchedWeights::find(const std::string& name) const {
  const auto it = places_.find(name);
  if (it == places_.end()) return std::nullopt;
  const Place& place = it->second;
  std::shared_ptr<const Lease> lease = leases_[place.slab].lock();
  if (lease == nullptr) {
    lease = std::make_shared<const Lease>(prefetcher_, place.slab);
    leases_[place.slab] = lease;
  }
  return StoredTensor{{place.source->dtype, place.source->shape, lease->memory + place.offset}, &cpu_device(), lease};
}

}  // namespace bigmodel
