// SPDX-License-Identifier: Apache-2.0
// What infer-device-map is told in texts and JSON: budgets, dtypes of single tensors, device maps, whole calls.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bigmodel/planning/reference_sizes.h"
#include "commands/device_map_plan.h"

namespace bigmodel::app {

/// "0=10GiB,cpu=30GiB": under `accelerate` sizes in the reference's dialect ("10gb" is bits there) and any device's name, under
/// others core/byte_size and known devices only. A device that is given twice counts as given last. Throws UsageError.
std::vector<std::pair<DeviceKey, BudgetArgument>> parse_budgets(const std::vector<std::string>& items, DevicePolicy policy);

/// In the reference's order. `accelerators` exist on this machine; under `accelerate` others give its warning.
Budgets order_budgets(const std::vector<std::pair<DeviceKey, BudgetArgument>>& given, DevicePolicy policy, std::int64_t accelerators,
                      std::vector<std::string>& warnings);

/// "lm_head.weight=float32". Throws UsageError.
std::vector<std::pair<std::string, DType>> parse_special_dtypes(const std::vector<std::string>& items);

/// {"model.embed_tokens": 0, "lm_head": "cpu"}, or an object with such a "hf_device_map". Throws FormatError.
DeviceMap parse_device_map(const nlohmann::ordered_json& value, const std::string& object);

DevicePolicy parse_policy(const std::string& name);

/// Finds the graph of a request: of a module tree's file, or of a MODEL and class.
struct GraphSource {
  std::function<void(MapCall&, const std::string& file)> from_file;
  std::function<void(MapCall&, const std::string& model, const std::string& class_name)> from_model;
  /// The machine's budgets and the number of its accelerators.
  std::function<Budgets()> machine_budgets;
  std::int64_t accelerators = 0;
};

/// A call as one JSON object: graph (a tree, or a file's name) or model and class, max_memory (an object, a list of pairs, or null),
/// no_split_module_classes, dtype, special_dtypes, policy, offload_buffers, fallback_allocation, clean_result, device_map, context,
/// batch, bandwidth. Other keys are refused. Throws FormatError, UsageError, ReferenceError.
/// `warnings`: as the reference logs them while it reads budgets.
MapCall parse_map_request(const nlohmann::ordered_json& value, const std::string& object, const GraphSource& source,
                          std::vector<std::string>& warnings);

}  // namespace bigmodel::app
