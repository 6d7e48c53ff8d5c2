// SPDX-License-Identifier: Apache-2.0
#include "planning/device_map_records.h"

#include <algorithm>
#include <set>

#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/planning/infer_device_map.h"
#include "bigmodel/planning/module_sizes.h"
#include "bigmodel/planning/reference_sizes.h"
#include "bigmodel/planning/tied_parameters.h"

namespace bigmodel::test {
namespace {

using Json = nlohmann::ordered_json;

DeviceKey read_device(const Json& value) {
  if (value.is_number()) return value.get<std::int64_t>();
  return value.get<std::string>();
}

BudgetArgument read_budget(const Json& value) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<double>();
  return value.get<std::string>();
}

Json device_json(const DeviceKey& device) {
  return std::visit([](const auto& key) { return Json(key); }, device);
}

Json number_json(const ReferenceNumber& number) {
  if (number.is_float()) return number.as_double();
  return number.as_bytes();
}

Json map_json(const DeviceMap& map) {
  Json out = Json::array();
  for (const auto& [name, device] : map) out.push_back({name, device_json(device)});
  return out;
}

Json budgets_json(const Budgets& budgets) {
  Json out = Json::array();
  for (const auto& [device, bytes] : budgets) out.push_back({device_json(device), number_json(bytes)});
  return out;
}

DeviceMap read_map(const Json& rows) {
  DeviceMap map;
  for (const auto& row : rows) map.emplace_back(row[0].get<std::string>(), read_device(row[1]));
  return map;
}

std::vector<std::string> read_no_split(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return {value.get<std::string>()};
  return value.get<std::vector<std::string>>();
}

SizeRequest read_sizes(const Json& record) {
  SizeRequest out;
  if (const Json& dtype = record.at("dtype"); !dtype.is_null()) out.dtype = find_dtype(dtype.get<std::string>()).value();
  if (const Json& special = record.at("special_dtypes"); !special.is_null()) {
    for (const auto& [name, dtype] : special.items()) out.special_dtypes.emplace_back(name, find_dtype(dtype.get<std::string>()).value());
  }
  return out;
}

DeviceBudgets read_budgets(const Json& rows) {
  std::vector<std::pair<DeviceKey, BudgetArgument>> given;
  for (const Json& row : rows) given.emplace_back(read_device(row[0]), read_budget(row[1]));
  return get_max_memory(given, 4);
}

/// Floats and ints are told apart.
bool equal(const Json& a, const Json& b) {
  if (a.is_array() && b.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Json& x, const Json& y) { return equal(x, y); });
  }
  return a == b && a.is_number_float() == b.is_number_float();
}

struct Outcome {
  Json result, error, warnings = Json::array(), log = Json::array();
  std::string difference(const Json& want) const {
    const auto differs = [&want](const char* key, const Json& got, const Json& none) {
      const Json& wanted = want.contains(key) ? want.at(key) : none;
      return equal(got, wanted) ? std::string() : std::string(key) + ": got " + got.dump() + ", want " + wanted.dump();
    };
    const Json null, list = Json::array();
    std::string out = differs("error", error, null);
    if (out.empty()) out = differs("result", result, null);
    if (out.empty()) out = differs("warnings", warnings, list);
    if (out.empty()) out = differs("log", log, list);
    return out;
  }
};

template <typename Call>
Outcome observe(Call call) {
  Outcome out;
  try {
    call(out);
  } catch (const ReferenceError& error) {
    out.result = nullptr;
    out.error = {error.exception_class(), error.message()};
  }
  return out;
}

Outcome infer(const GraphJson& tree, const Json& record, const Json& max_memory) {
  return observe([&](Outcome& out) {
    const DeviceBudgets budgets = read_budgets(max_memory);
    for (const std::string& text : budgets.warnings) out.log.push_back({"WARNING", text});
    DeviceMapRequest r;
    r.max_memory = budgets.bytes;
    r.no_split = read_no_split(record.at("no_split"));
    r.sizes = read_sizes(record);
    r.clean_result = record.value("clean_result", true);
    r.offload_buffers = record.value("offload_buffers", false);
    r.fallback_allocation = record.value("fallback_allocation", false);
    r.config_says_tied = tree.config_says_tied;
    const InferredDeviceMap map = infer_auto_device_map(tree.graph, r);
    out.result = map_json(map.device_map);
    for (const DeviceMapMessage& m : map.messages) {
      if (m.level == DeviceMapMessage::Level::warning) out.warnings.push_back({"UserWarning", m.text});
      else out.log.push_back({m.level == DeviceMapMessage::Level::log_info ? "INFO" : "WARNING", m.text});
    }
  });
}

/// One of the outcomes that the reference's own hash order allows.
std::string best_difference(const Outcome& outcome, const Json& want) {
  const std::string first = outcome.difference(want);
  if (first.empty() || !want.contains("order_dependent")) return first;
  for (Json other : want.at("order_dependent")) {
    Outcome sorted = outcome;
    if (other.contains("result")) std::sort(other.at("result").begin(), other.at("result").end());
    if (sorted.result.is_array()) std::sort(sorted.result.begin(), sorted.result.end());
    if (sorted.difference(other).empty()) return {};
  }
  return first;
}

}  // namespace

std::string infer_difference(const Trees& trees, const Json& record) {
  return best_difference(infer(trees.at(record.at("tree")), record, record.at("max_memory")), record);
}

std::string balanced_difference(const Trees& trees, const Json& record) {
  const GraphJson& tree = trees.at(record.at("tree"));
  const bool given = !record.at("max_memory").is_null();
  const Outcome outcome = observe([&](Outcome& out) {
    BalanceRequest r;
    r.user_gave_max_memory = given;
    if (given) {
      r.max_memory = read_budgets(record.at("max_memory")).bytes;
    } else {
      for (const Json& row : record.at("found_memory")) r.max_memory.emplace_back(read_device(row[0]), row[1].get<std::int64_t>());
    }
    r.no_split = read_no_split(record.at("no_split"));
    r.sizes = read_sizes(record);
    r.low_zero = record.at("low_zero");
    const BalancedMemory got = get_balanced_memory(tree.graph, r);
    out.result = budgets_json(got.max_memory);
    for (const std::string& note : got.notes) out.log.push_back({"INFO", note});
  });
  const std::string difference = outcome.difference(record);
  if (!difference.empty() || !record.contains("then_map")) return difference;
  return best_difference(infer(tree, record, record.at("result")), record.at("then_map"));
}

std::string module_sizes_difference(const Trees& trees, const Json& record) {
  return observe([&](Outcome& out) {
           out.result = Json::array();
           for (const auto& [name, bytes] : compute_module_sizes(trees.at(record.at("tree")).graph, read_sizes(record), record.at("buffers_only"))) {
             out.result.push_back({name, number_json(bytes)});
           }
         })
      .difference(record);
}

std::string maximum_sizes_difference(const Trees& trees, const Json& record) {
  const MetaGraph& graph = trees.at(record.at("tree")).graph;
  const std::vector<std::string> classes = read_no_split(record.at("no_split"));
  const NoSplitClasses no_split(classes.begin(), classes.end());
  const bool whole = record.at("function") == "calculate_maximum_sizes";
  const MaximumSizes got = whole ? calculate_maximum_sizes(graph, no_split)
                                 : get_max_layer_size(graph, record.at("modules").get<std::vector<std::string>>(), read_sizes(record), no_split);
  const Json& want = record.at("result");
  const bool same = equal(number_json(got.largest_bytes), want.at("largest")) && Json(got.layers) == want.at("layers") &&
                    (!whole || equal(number_json(got.total_bytes), want.at("total")));
  return same ? std::string() : "got " + to_string(got.total_bytes) + " " + to_string(got.largest_bytes) + " " + Json(got.layers).dump();
}

std::string ties_difference(const Trees& trees, const Json& record) {
  const std::string function = record.at("function");
  return observe([&](Outcome& out) {
           if (function == "find_tied_parameters") {
             out.result = find_tied_parameters(trees.at(record.at("tree")).graph);
             if (out.result.is_null()) out.result = Json::array();
             return;
           }
           const auto ties = record.at("ties").get<TieGroups>();
           if (function == "check_tied_parameters_on_same_device") {
             for (const std::string& text : check_tied_parameters_on_same_device(ties, read_map(record.at("device_map")))) {
               out.log.push_back({"WARNING", text});
             }
             return;
           }
           const auto meta = record.at("on_meta").get<std::set<std::string>>();
           std::map<std::string, std::string> now;
           for (const auto& [name, tensor] : retie_parameters(ties, [&meta](const std::string& n) { return meta.contains(n); })) now[name] = tensor;
           out.result = Json::array();
           for (const Json& row : record.at("result")) {
             const std::string name = row[0];
             const std::string tensor = now.contains(name) ? now.at(name) : name;
             out.result.push_back({name, tensor, meta.contains(tensor) ? "meta" : "cpu"});
           }
         })
      .difference(record);
}

std::string check_difference(const Trees& trees, const Json& record) {
  Outcome out;
  const DeviceMapCheck got = check_device_map(trees.at(record.at("tree")).graph, read_map(record.at("device_map")));
  if (!got.warning().empty()) out.warnings.push_back({"UserWarning", got.warning()});
  if (!got.error().empty()) out.error = {"ValueError", got.error()};
  return out.difference(record);
}

}  // namespace bigmodel::test
