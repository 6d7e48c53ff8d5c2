// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/auto_device_map.h"

#include <algorithm>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/planning/optimal_map.h"

namespace bigmodel {

PlacementRequest engine_placement(const AutoMapRequest& request) {
  PlacementRequest out;
  out.dtype = request.dtype;
  out.special_dtypes = request.special_dtypes;
  out.cache.context = std::max<std::int64_t>(request.context, 1);
  out.cache.batch = std::max<std::int64_t>(request.batch, 1);
  out.cache.format = *kv_format(request.accelerator_bytes.empty() ? request.processor_cache_dtype : request.cache_dtype);
  out.cache.model_dtype = request.dtype;
  out.cache.engine = CacheEngine::bigmodel;
  out.cache.on_accelerators = !request.accelerator_bytes.empty();
  out.saved_only = true;
  if (request.accelerator_bytes.empty()) out.sliced = request.sliceable;
  return out;
}

AutoMap auto_device_map(const MetaGraph& graph, const AutoMapRequest& request) {
  OptimalRequest plan;
  plan.placement = engine_placement(request);
  plan.placement.no_split = graph.no_split_modules;
  // The engine computes in float32, a prompt in one pass.
  plan.workspace_dtype = DType::float32;
  const std::int64_t prompt = request.prompt > 0 ? std::min(request.prompt, plan.placement.cache.context) : plan.placement.cache.context;
  plan.prefill_tokens = checked_mul(prompt, plan.placement.cache.batch, "the prompt");
  for (const auto& [number, bytes] : request.accelerator_bytes) plan.budgets.emplace_back(number, std::max<std::int64_t>(bytes, 0));
  plan.speeds = request.speeds;
  plan.budgets.push_back({std::string("cpu"), std::max<std::int64_t>(request.ram_bytes, 0)});
  try {
    return {infer_optimal_map(graph, plan).device_map, true};
  } catch (const CapacityError&) {
    if (!request.accelerator_bytes.empty()) throw;
  }
  plan.streaming_slots = 1;
  return {infer_optimal_map(graph, plan).device_map, false};
}

}  // namespace bigmodel
