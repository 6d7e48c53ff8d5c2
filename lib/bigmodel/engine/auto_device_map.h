// SPDX-License-Identifier: Apache-2.0
// device_map="auto" for this engine: everything in RAM where it fits, else what is streamed from disk costs the least time.
#pragma once

#include <cstdint>

#include "bigmodel/core/dtype.h"
#include "bigmodel/model/meta_graph.h"
#include "bigmodel/planning/device_map.h"
#include "bigmodel/planning/placement.h"
#include "bigmodel/planning/time_model.h"

namespace bigmodel {

struct AutoMapRequest {
  DType dtype = DType::float32;        ///< what the weights are run in
  std::vector<std::pair<std::string, DType>> special_dtypes;   ///< of weights that are kept in another one: full tensor name -> dtype
  std::vector<std::pair<std::int64_t, std::int64_t>> accelerator_bytes;   ///< number of each accelerator that may be used, and what it may take
  std::vector<std::string> sliceable;  ///< weights that the processor brings in slices (sliceable_weights of the graph)
  TierSpeeds speeds;                   ///< that decide between devices
  DType cache_dtype = DType::float32;  ///< of keys and values on accelerators
  DType processor_cache_dtype = DType::float32;   ///< of those in RAM; where accelerators take part, only theirs is counted
  std::int64_t ram_bytes = 0;          ///< for weights, caches, activations and streaming slots
  std::int64_t context = 1;            ///< tokens of each sequence, prompt and new ones
  std::int64_t prompt = 0;             ///< tokens of each sequence in the first pass, which is one; 0: `context`
  std::int64_t batch = 1;
};

/// What this engine keeps, as planning counts it: weights in the request's dtype without the buffers that it computes, caches as
/// CacheEngine::bigmodel. Parts as fine as tensors; callers that
/// keep classes whole name them.
PlacementRequest engine_placement(const AutoMapRequest& request);

struct AutoMap {
  DeviceMap device_map;
  bool reads_ahead = true;   ///< false: RAM has room for one streaming slot alone, which DispatchOptions::reads_ahead is to say
};

/// Maps modules to accelerators, "cpu" and "disk" (planning/optimal_map.h: caches, activations and streaming slots are counted, two of them, or
/// where the processor computes and that does not fit, one).
/// Throws CapacityError naming what RAM lacks, FormatError where a size does not fit 64 bits.
AutoMap auto_device_map(const MetaGraph& graph, const AutoMapRequest& request);

}  // namespace bigmodel
