// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/auto_device_map.h"

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/planning/optimal_map.h"

namespace bigmodel {

DeviceMap auto_device_map(const MetaGraph& graph, const AutoMapRequest& request) {
  OptimalRequest plan;
  plan.placement.dtype = request.dtype;
  plan.placement.no_split = graph.no_split_modules;
  plan.placement.cache.context = std::max<std::int64_t>(request.context, 1);
  plan.placement.cache.batch = std::max<std::int64_t>(request.batch, 1);
  plan.placement.cache.format = *kv_format(DType::float32);
  plan.placement.cache.model_dtype = request.dtype;
  plan.budgets = {{std::string("cpu"), std::max<std::int64_t>(request.ram_bytes, 0)}};
  return infer_optimal_map(graph, plan).device_map;
}

}  // namespace bigmodel
