// SPDX-License-Identifier: Apache-2.0
#include "commands/device_map_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/model/graph_json.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;
using BudgetArguments = std::vector<std::pair<DeviceKey, BudgetArgument>>;

std::string shown(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80); }

/// "0" -> accelerator 0, as in Python's dict the number; "00" stays text.
DeviceKey device_of_text(const std::string& text) {
  const std::optional<std::int64_t> number = parse_number<std::int64_t>(text);
  if (number && std::to_string(*number) == text) return *number;
  return text;
}

void check_device(const DeviceKey& device, const std::string& object) {
  const auto* number = std::get_if<std::int64_t>(&device);
  const auto* text = std::get_if<std::string>(&device);
  const bool known = number != nullptr ? *number >= 0 : *text == "mps" || *text == "cpu" || *text == "disk";
  if (!known) throw UsageError(fmt::format("{}: unknown device '{}', expected the number of an accelerator, mps, cpu or disk", object, to_string(device).substr(0, 60)));
}

void put(BudgetArguments& list, DeviceKey device, BudgetArgument budget) {
  for (auto& [key, value] : list) {
    if (key == device) {
      value = std::move(budget);
      return;
    }
  }
  list.emplace_back(std::move(device), std::move(budget));
}

BudgetArgument parse_budget_text(const std::string& text, DevicePolicy policy, const std::string& object) {
  if (policy == DevicePolicy::accelerate) return text;
  const std::uint64_t bytes = parse_byte_size(text, object);
  if (bytes > INT64_MAX) throw UsageError(fmt::format("{}: '{}' is too large", object, text));
  return static_cast<std::int64_t>(bytes);
}

DeviceKey device_of_json(const Json& value, const std::string& object) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_string()) return value.get<std::string>();
  throw FormatError(fmt::format("{}: expected a device as a number or text, got {}", object, shown(value)));
}

BudgetArgument budget_of_json(const Json& value, DevicePolicy policy, const std::string& object) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) throw FormatError(fmt::format("{}: {} is too large", object, shown(value)));
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return parse_budget_text(value.get<std::string>(), policy, object);
  throw FormatError(fmt::format("{}: expected bytes or a size, got {}", object, shown(value)));
}

BudgetArguments budgets_of_json(const Json& value, DevicePolicy policy, const std::string& object) {
  BudgetArguments out;
  if (value.is_object()) {
    for (const auto& [key, budget] : value.items()) put(out, device_of_text(key), budget_of_json(budget, policy, object));
    return out;
  }
  if (!value.is_array()) throw FormatError(fmt::format("{}: expected an object or a list of pairs, got {}", object, shown(value)));
  for (const Json& row : value) {
    if (!row.is_array() || row.size() != 2) throw FormatError(fmt::format("{}: expected pairs of device and budget, got {}", object, shown(row)));
    put(out, device_of_json(row[0], object), budget_of_json(row[1], policy, object));
  }
  return out;
}

DType dtype_of(const Json& value, const std::string& object) {
  const std::optional<DType> dtype = value.is_string() ? find_dtype(value.get<std::string>()) : std::nullopt;
  if (!dtype) throw FormatError(fmt::format("{}: expected a dtype, got {}", object, shown(value)));
  return *dtype;
}

bool flag_of(const Json& value, const std::string& object) {
  if (!value.is_boolean()) throw FormatError(fmt::format("{}: expected true or false, got {}", object, shown(value)));
  return value.get<bool>();
}

std::string text_of(const Json& value, const std::string& object) {
  if (!value.is_string()) throw FormatError(fmt::format("{}: expected text, got {}", object, shown(value)));
  return value.get<std::string>();
}

std::int64_t count_of(const Json& value, const std::string& object) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) || value.get<std::int64_t>() < 0) {
    throw FormatError(fmt::format("{}: expected a whole number, got {}", object, shown(value)));
  }
  return value.get<std::int64_t>();
}

std::vector<std::string> texts_of(const Json& value, const std::string& object) {
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) throw FormatError(fmt::format("{}: expected text or a list of texts, got {}", object, shown(value)));
  std::vector<std::string> out;
  for (const Json& item : value) out.push_back(text_of(item, object));
  return out;
}

constexpr std::array<std::string_view, 18> kRequestKeys = {
    "graph", "model", "class", "ties", "config_says_tied", "max_memory", "no_split_module_classes", "dtype", "special_dtypes",
    "policy", "offload_buffers", "fallback_allocation", "clean_result", "device_map", "context", "batch", "bandwidth", "id"};

}  // namespace

DevicePolicy parse_policy(const std::string& name) {
  if (const auto policy = find_device_policy(name)) return *policy;
  throw UsageError(fmt::format("policy: no such choice, expected auto|balanced|balanced_low_0|sequential|accelerate|optimal, got '{}'", name.substr(0, 60)));
}

std::vector<std::pair<DeviceKey, BudgetArgument>> parse_budgets(const std::vector<std::string>& items, DevicePolicy policy) {
  BudgetArguments out;
  for (const std::string& item : items) {
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UsageError(fmt::format("--max-memory: '{}' is no device and size, expected <device>=<size>", item.substr(0, 60)), "for example 0=10GiB,cpu=30GiB");
    }
    std::string name = item.substr(0, equals);
    if (policy != DevicePolicy::accelerate && name.starts_with("cuda:")) name.erase(0, 5);   // --device-map's way of writing it
    const DeviceKey device = device_of_text(name);
    const std::string size = item.substr(equals + 1);
    if (policy != DevicePolicy::accelerate) check_device(device, "--max-memory");
    const std::optional<std::int64_t> bytes = parse_number<std::int64_t>(size);
    put(out, device, policy == DevicePolicy::accelerate && bytes ? BudgetArgument(*bytes) : parse_budget_text(size, policy, "--max-memory"));
  }
  return out;
}

Budgets order_budgets(const BudgetArguments& given, DevicePolicy policy, std::int64_t accelerators, std::vector<std::string>& warnings) {
  if (policy != DevicePolicy::accelerate) {
    for (const auto& [device, budget] : given) check_device(device, "max_memory");
  }
  DeviceBudgets budgets = get_max_memory(given, accelerators);
  if (policy == DevicePolicy::accelerate) warnings = std::move(budgets.warnings);
  return std::move(budgets.bytes);
}

std::vector<std::pair<std::string, DType>> parse_special_dtypes(const std::vector<std::string>& items) {
  std::vector<std::pair<std::string, DType>> out;
  for (const std::string& item : items) {
    const std::size_t equals = item.rfind('=');
    const std::optional<DType> dtype = equals == std::string::npos ? std::nullopt : find_dtype(item.substr(equals + 1));
    if (!dtype || equals == 0) throw UsageError(fmt::format("--special-dtypes: expected <tensor>=<dtype>, got '{}'", item.substr(0, 100)), "for example lm_head.weight=float32");
    out.emplace_back(item.substr(0, equals), *dtype);
  }
  return out;
}

DeviceMap parse_device_map(const Json& value, const std::string& object) {
  const Json* map = &value;
  if (value.is_object() && value.contains("hf_device_map")) map = &value.at("hf_device_map");
  if (!map->is_object()) throw FormatError(fmt::format("{}: expected an object of modules and devices, got {}", object, shown(*map)));
  DeviceMap out;
  for (const auto& [name, device] : map->items()) {
    const DeviceKey key = device_of_json(device, fmt::format("{}: '{}'", object, name.substr(0, 100)));
    const auto* text = std::get_if<std::string>(&key);
    out.emplace_back(name, text != nullptr && text->starts_with("cuda:") ? device_of_text(text->substr(5)) : key);
  }
  return out;
}

MapCall parse_map_request(const Json& value, const std::string& object, const GraphSource& source, std::vector<std::string>& warnings) {
  if (!value.is_object()) throw FormatError(fmt::format("{}: expected one call as an object, got {}", object, shown(value)));
  for (const auto& [key, unused] : value.items()) {
    if (std::ranges::find(kRequestKeys, key) != kRequestKeys.end()) continue;
    const std::vector<std::string> known(kRequestKeys.begin(), kRequestKeys.end());
    throw FormatError(fmt::format("{}: unknown key '{}'", object, key.substr(0, 60)), did_you_mean(key, known));
  }
  const auto given = [&value](std::string_view key) -> const Json* {
    const auto it = value.find(key);
    return it == value.end() || it->is_null() ? nullptr : &*it;
  };
  const auto where = [&object](std::string_view key) { return fmt::format("{}: {}", object, key); };
  MapCall call;
  if (const Json* policy = given("policy")) call.policy = parse_policy(text_of(*policy, where("policy")));
  if (const Json* graph = given("graph"); graph != nullptr && graph->is_string()) {
    source.from_file(call, graph->get<std::string>());
  } else if (graph != nullptr) {
    GraphJson tree;
    if (const Json* ties = given("ties")) tree = parse_graph_json(Json{{"graph_json", *graph}, {"ties", *ties}}, where("graph"));
    else tree = parse_graph_json(*graph, where("graph"));
    call.label = object;
    call.config_says_tied = tree.config_says_tied;
    call.no_split = tree.graph.no_split_modules;
    call.graph = std::make_shared<const MetaGraph>(std::move(tree.graph));
  } else if (const Json* model = given("model")) {
    const Json* class_name = given("class");
    source.from_model(call, text_of(*model, where("model")), class_name == nullptr ? "auto" : text_of(*class_name, where("class")));
  } else {
    throw FormatError(fmt::format("{}: expected a graph or a model", object));
  }
  if (const Json* tied = given("config_says_tied")) call.config_says_tied = flag_of(*tied, where("config_says_tied"));
  if (const Json* budgets = given("max_memory")) {
    call.budgets = order_budgets(budgets_of_json(*budgets, call.policy, where("max_memory")), call.policy, source.accelerators, warnings);
  } else {
    call.gave_budgets = false;
    call.budgets = source.machine_budgets();
  }
  if (const auto classes = value.find("no_split_module_classes"); classes != value.end()) {
    call.no_split = classes->is_null() ? std::vector<std::string>{} : texts_of(*classes, where("no_split_module_classes"));
  }
  if (const Json* dtype = given("dtype")) {
    call.sizes.dtype = dtype_of(*dtype, where("dtype"));
    call.sizes.model_dtype = DType::float32;
  }
  if (const Json* special = given("special_dtypes")) {
    if (!special->is_object()) throw FormatError(fmt::format("{}: expected an object, got {}", where("special_dtypes"), shown(*special)));
    for (const auto& [name, dtype] : special->items()) call.sizes.special_dtypes.emplace_back(name, dtype_of(dtype, where("special_dtypes")));
  }
  if (const Json* flag = given("offload_buffers")) call.offload_buffers = flag_of(*flag, where("offload_buffers"));
  if (const Json* flag = given("fallback_allocation")) call.fallback_allocation = flag_of(*flag, where("fallback_allocation"));
  if (const Json* flag = given("clean_result")) call.clean_result = flag_of(*flag, where("clean_result"));
  if (const Json* map = given("device_map")) call.given_map = parse_device_map(*map, where("device_map"));
  call.predicts = given("context") != nullptr || given("batch") != nullptr || given("bandwidth") != nullptr;
  if (const Json* context = given("context")) call.cache.context = count_of(*context, where("context"));
  if (const Json* batch = given("batch")) call.cache.batch = count_of(*batch, where("batch"));
  if (const Json* bandwidth = given("bandwidth")) call.speeds = parse_tier_speeds(texts_of(*bandwidth, where("bandwidth")));
  return call;
}

}  // namespace bigmodel::app
