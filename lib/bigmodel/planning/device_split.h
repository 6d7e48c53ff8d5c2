// SPDX-License-Identifier: Apache-2.0
// Which device of several equal ones holds how much of a model's weights and caches: whole layers one after the other, or every
// layer divided (tensor parallelism).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/kv_cache.h"

namespace bigmodel {

enum class SplitMode {
  layers,  ///< whole layers, in order: a pipeline or a device map
  tensor,  ///< heads and feed-forward widths of every layer
};

/// What one or several neighbouring devices hold, each.
struct DeviceShare {
  std::int64_t first_device = 0, devices = 1;
  std::int64_t first_layer = 0, layers = 0;  ///< of SplitMode::layers; all of them otherwise
  std::int64_t weights_bytes = 0;
  std::int64_t cache_bytes = 0;
  std::int64_t bytes() const { return weights_bytes + cache_bytes; }
};

/// What is split: the parts of a model that stay whole, in order, and the caches that go with them. Immutable; the graph is not kept.
class DeviceSplit {
 public:
  DeviceSplit(const MetaGraph& graph, const CachePlan& cache);

  /// Of `weights_bytes` what lies outside of layers (embeddings, heads, norms) counts in 16 bits, or `outside_bits` if that is more;
  /// layers share the rest by their size. `cache`: of the plan. Layers: contiguous, so that the fullest device holds as little as it
  /// can; devices that get nothing come last. Throws UsageError where `devices` cannot divide the heads of a layer.
  std::vector<DeviceShare> over(std::int64_t devices, SplitMode mode, std::int64_t weights_bytes, int outside_bits, const CacheSize& cache) const;

  /// Whether `devices` divide every layer's query heads.
  bool divides(std::int64_t devices) const;
  std::int64_t layers() const { return layers_; }

 private:
  struct Part {
    std::int64_t bytes = 0;  ///< in 16 bits
    bool is_layer = false;
    std::vector<std::size_t> caches;  ///< of CachePlan::layers
  };

  std::vector<std::int64_t> weights_of_parts(std::int64_t weights_bytes, int outside_bits) const;
  std::vector<DeviceShare> contiguous(std::int64_t devices, std::span<const std::int64_t> weights, std::span<const std::int64_t> caches) const;

  std::vector<Part> parts_;
  std::vector<std::int64_t> heads_;                        ///< of each attention, once
  std::vector<std::int64_t> kv_heads_;                     ///< of each cache; 0: divided evenly, -1: whole on every device
  std::int64_t layers_ = 0;
};

/// The one that holds most.
const DeviceShare& fullest(std::span<const DeviceShare> shares);

}  // namespace bigmodel
