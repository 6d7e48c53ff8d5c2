// SPDX-License-Identifier: Apache-2.0
// Streamed weights as a map that hooks ask: the first tensor of a slab that is wanted brings the whole slab, the last one let go frees its slot.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "bigmodel/engine/prefetcher.h"
#include "bigmodel/engine/weights_map.h"

namespace bigmodel {

/// Called from the thread that runs the model. The prefetcher must outlive it and the tensors that it gave out.
class PrefetchedWeights : public WeightsMap {
 public:
  explicit PrefetchedWeights(Prefetcher& prefetcher) : prefetcher_(prefetcher), leases_(prefetcher.slab_count()) {}

  /// The tensor of that full name is this source, in that slab.
  void add(const std::string& name, const WeightSource& source, std::size_t slab);
  bool contains(const std::string& name) const { return places_.contains(name); }
  /// Waits for the disk. Throws what the read threw.
  std::optional<StoredTensor> find(const std::string& name) const override;

 private:
  struct Place {
    const WeightSource* source = nullptr;
    std::size_t slab = 0;
    std::uint64_t offset = 0;
  };
  struct Lease;
  Prefetcher& prefetcher_;
  std::unordered_map<std::string, Place> places_;
  mutable std::vector<std::weak_ptr<const Lease>> leases_;   ///< of each slab
};

}  // namespace bigmodel
