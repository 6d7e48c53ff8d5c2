// SPDX-License-Identifier: Apache-2.0
#include "commands/device_map_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/planning/check_device_map.h"
#include "bigmodel/planning/optimal_map.h"
#include "bigmodel/planning/reference_sizes.h"
#include "bigmodel/planning/tied_parameters.h"

namespace bigmodel::app {
namespace {

constexpr std::int64_t kNoLimit = INT64_MAX;

std::string size_text(std::int64_t bytes) { return format_binary(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0))); }

PlacementRequest placement_of(const MapCall& call, bool whole_classes) {
  PlacementRequest out;
  out.dtype = call.sizes.dtype.value_or(call.sizes.model_dtype);
  out.cast = call.sizes.dtype.has_value();
  out.special_dtypes = call.sizes.special_dtypes;
  if (whole_classes) out.no_split = call.no_split;
  out.cache = call.cache;
  out.cache.model_dtype = out.dtype;
  return out;
}

PolicyRequest policy_request(const MapCall& call) {
  PolicyRequest out;
  out.policy = call.policy;
  out.user_gave_max_memory = call.gave_budgets;
  out.map.max_memory = call.budgets;
  out.map.no_split = call.no_split;
  out.map.sizes = call.sizes;
  out.map.clean_result = call.clean_result;
  out.map.offload_buffers = call.offload_buffers;
  out.map.fallback_allocation = call.fallback_allocation;
  out.map.config_says_tied = call.config_says_tied;
  return out;
}

void plan_greedily(const MapCall& call, MapResult& out) {
  PolicyRequest request = policy_request(call);
  if (call.observes) request.map.observe = [&out](const PlacementStep& step) { out.steps.push_back(step); };
  PolicyMap planned = plan_device_map(*call.graph, request);
  out.device_map = std::move(planned.map.device_map);
  out.notes = std::move(planned.notes);
  for (const DeviceMapMessage& m : planned.map.messages) out.messages.push_back(m.text);
  for (const DeviceLoad& load : planned.map.loads) {
    DeviceRow row{.device = load.device, .budget_bytes = {}, .weights_bytes = load.weights_bytes.as_bytes(),
                  .reserved_bytes = load.reserved_bytes.as_bytes(), .required_bytes = {}};
    if (load.budget_bytes) row.budget_bytes = load.budget_bytes->as_bytes();
    if (load.required_bytes) row.required_bytes = load.required_bytes->as_bytes();
    out.devices.push_back(std::move(row));
  }
  out.fits = !(planned.missing_bytes > 0);
}

void plan_optimally(const MapCall& call, MapResult& out) {
  OptimalRequest request;
  request.placement = placement_of(call, true);
  request.speeds = call.speeds;
  request.clean_result = call.clean_result;
  request.hint = "smaller --context or --batch, --kv-dtype q8_0, a narrower --dtype, more memory, or room on disk";
  for (const auto& [device, bytes] : call.budgets) {
    if (!(bytes >= 0)) {
      throw UsageError(fmt::format("budget of device {}: expected bytes, got {}", to_string(device), to_string(bytes)),
                       "only --policy accelerate takes such a budget, as the reference does");
    }
    request.budgets.emplace_back(device, bytes.as_bytes());
  }
  OptimalMap map = infer_optimal_map(*call.graph, request);
  out.device_map = std::move(map.device_map);
  out.predicted = std::move(map.predicted);
  out.proved = map.proved;
  out.workspace_bytes = map.workspace_bytes;
  for (const DeviceUse& use : map.uses) {
    DeviceRow row{.device = use.device, .budget_bytes = use.budget_bytes, .weights_bytes = use.weights_bytes,
                  .reserved_bytes = use.workspace_bytes + use.streaming_bytes, .kv_cache_bytes = use.cache_bytes, .required_bytes = {}};
    if (use.budget_bytes == kNoLimit) row.budget_bytes.reset();
    out.devices.push_back(std::move(row));
  }
}

/// What accelerate's own map would do beside the optimal one.
void compare_with_accelerate(const MapCall& call, const std::vector<PlacementPart>& parts, MapResult& out) {
  MapCall other = call;
  other.policy = DevicePolicy::sequential;
  try {
    MapResult map;
    plan_greedily(other, map);
    out.accelerate_predicted = predict_time(parts, map.device_map, call.speeds, call.cache.batch);
    for (const TierLoad& t : out.accelerate_predicted->tiers) {
      const auto row = std::ranges::find(map.devices, t.device, &DeviceRow::device);
      const bool runs = t.cache_bytes > 0 || is_accelerator(t.device);
      if (row == map.devices.end() || !row->budget_bytes || !runs) continue;
      const std::int64_t missing = t.weights_bytes + t.cache_bytes + out.workspace_bytes + row->reserved_bytes - *row->budget_bytes;
      if (missing <= out.accelerate_missing_bytes) continue;
      out.accelerate_missing_bytes = missing;
      out.accelerate_short_device = t.device;
    }
  } catch (const Error& e) {
    out.notes.push_back(fmt::format("accelerate has no map for this: {}", e.message()));
  }
}

const DeviceKey* device_of(const std::map<std::string, const DeviceKey*, std::less<>>& exact, std::string_view name) {
  for (std::string_view at = name;;) {
    if (const auto it = exact.find(at); it != exact.end()) return it->second;
    if (at.empty()) return nullptr;
    at = at.substr(0, at.rfind('.') == std::string_view::npos ? 0 : at.rfind('.'));
  }
}

/// Weights that each device of a map holds; a tied tensor counts on every device that one of its names lies on, once each.
void weigh_given_map(const MapCall& call, MapResult& out) {
  const ExpandedGraph graph(*call.graph);
  const ModuleSizes sizes(graph, {}, call.sizes);
  std::map<std::string, const DeviceKey*, std::less<>> exact;
  for (const auto& [name, device] : *call.given_map) exact.insert_or_assign(name, &device);
  std::map<DeviceKey, ReferenceNumber> weights;
  std::map<std::string, std::vector<DeviceKey>, std::less<>> seen;
  const std::unordered_map<std::string, std::string> tied = tied_names(*call.graph);
  for (std::int32_t i = 0; i < graph.size(); ++i) {
    const auto count = graph.module(i).parameters.size() + graph.module(i).buffers.size();
    for (std::size_t t = 0; t < count; ++t) {
      const GraphEntry entry{i, static_cast<std::int32_t>(t)};
      const std::string name = graph.name(entry);
      const DeviceKey* device = device_of(exact, name);
      if (device == nullptr) continue;
      if (!call.graph->tied.empty() && graph.is_parameter(entry)) {
        const auto first = tied.find(name);
        std::vector<DeviceKey>& devices = seen[first == tied.end() ? name : first->second];
        if (std::ranges::find(devices, *device) != devices.end()) continue;
        devices.push_back(*device);
      }
      weights[*device] += sizes.of(entry);
    }
  }
  const auto budget_of = [&call](const DeviceKey& device) -> std::optional<std::int64_t> {
    for (const auto& [key, bytes] : call.budgets) {
      if (key == device) return bytes.as_bytes();
    }
    return std::nullopt;
  };
  std::vector<DeviceKey> order;
  for (const auto& [device, bytes] : call.budgets) order.push_back(device);
  for (const auto& [name, device] : *call.given_map) {
    if (std::ranges::find(order, device) == order.end()) order.push_back(device);
  }
  for (const DeviceKey& device : order) {
    DeviceRow row{.device = device, .budget_bytes = call.gave_budgets ? budget_of(device) : std::nullopt, .required_bytes = {}};
    if (const auto it = weights.find(device); it != weights.end()) row.weights_bytes = it->second.as_bytes();
    const bool listed = row.budget_bytes.has_value() || to_string(device) == "disk" || !call.gave_budgets;
    const bool over = row.budget_bytes ? row.weights_bytes > *row.budget_bytes : !listed && row.weights_bytes > 0;
    if (over) {
      out.fits = false;
      out.warnings.push_back(row.budget_bytes ? fmt::format("device {}: {} over its budget", to_string(device), size_text(row.weights_bytes - *row.budget_bytes))
                                              : fmt::format("device {}: the map uses it, but it has no budget", to_string(device)));
    }
    if (call.gave_budgets || row.weights_bytes > 0) out.devices.push_back(std::move(row));
  }
}

void check_given_map(const MapCall& call, MapResult& out) {
  out.device_map = *call.given_map;
  const DeviceMapCheck check = check_device_map(*call.graph, out.device_map);
  out.uncovered = check.uncovered;
  const ExpandedGraph graph(*call.graph);
  for (const std::string& key : check.unknown_keys) {
    if (!graph.find(key)) out.unknown_keys.push_back(key);  // tensors are fine as keys, whatever the reference's warning says
  }
  for (const std::string& text : {check.warning(), check.error()}) {
    if (!text.empty()) out.messages.push_back(text);
  }
  try {
    for (std::string& text : check_tied_parameters_on_same_device(find_tied_parameters(*call.graph), out.device_map)) out.messages.push_back(std::move(text));
  } catch (const ReferenceError&) {
    // a tied name without a device is among the uncovered
  }
  weigh_given_map(call, out);
  if (!out.uncovered.empty()) out.fits = false;
}

/// The smallest budget of a device, up to `most`, with which `fits` says yes.
std::optional<std::int64_t> smallest_budget(std::int64_t least, std::int64_t most, const std::function<bool(std::int64_t)>& fits) {
  if (!fits(most)) return std::nullopt;
  const std::int64_t step = std::max<std::int64_t>((most - least) / 4096, 1);
  while (most - least > step) {
    const std::int64_t middle = least + (most - least) / 2;
    (fits(middle) ? most : least) = middle;
  }
  return most;
}

void set_budget(Budgets& budgets, const std::string& device, std::int64_t bytes) {
  for (auto& [key, value] : budgets) {
    if (key == DeviceKey(device)) {
      value = bytes;
      return;
    }
  }
  const auto disk = std::ranges::find(budgets, DeviceKey(std::string("disk")), &std::pair<DeviceKey, ReferenceNumber>::first);
  budgets.insert(device == "disk" ? budgets.end() : disk, {DeviceKey(device), bytes});
}

void plan_once(const MapCall& call, MapResult& out) {
  if (call.policy == DevicePolicy::optimal) plan_optimally(call, out);
  else plan_greedily(call, out);
}

bool call_fits(const MapCall& call) {
  try {
    MapResult out;
    plan_once(call, out);
    return out.fits;
  } catch (const CapacityError&) {
    return false;
  }
}

/// "300 MiB" as an option that holds at least that.
std::string rounded_up(std::int64_t bytes) {
  constexpr std::int64_t kMiB = 1 << 20, kGiB = 1 << 30;
  if (bytes >= 10 * kGiB) return fmt::format("{:.1f}GiB", static_cast<double>((bytes - 1) / (kGiB / 10) + 1) / 10);
  if (bytes >= 10 * kMiB) return fmt::format("{}MiB", (bytes - 1) / kMiB + 1);
  return fmt::format("{}", bytes);
}

/// Ways to make it fit that were tried: a narrower dtype, more of a device, disk.
std::string remedies(const MapCall& call) {
  std::vector<std::string> out;
  MapCall plain = call;
  plain.observes = plain.predicts = false;
  const DType now = call.sizes.dtype.value_or(call.sizes.model_dtype);
  for (const DType dtype : {DType::float16, DType::int8, DType::int4}) {
    if (bit_size(dtype) >= bit_size(now)) continue;
    MapCall narrower = plain;
    narrower.sizes.dtype = dtype;
    if (!call_fits(narrower)) continue;
    out.push_back(fmt::format("--dtype {}", name(dtype)));
    break;
  }
  const ExpandedGraph graph(*call.graph);
  const std::int64_t total = ModuleSizes(graph, call.graph->tied, call.sizes).total().as_bytes();
  for (const char* device : {"cpu", "disk"}) {
    std::int64_t least = 0;
    bool given = false;
    for (const auto& [key, bytes] : call.budgets) {
      if (key != DeviceKey(std::string(device))) continue;
      least = bytes.as_bytes();
      given = true;
    }
    if (!given && std::string_view(device) == "disk") continue;  // it has no limit
    const std::int64_t most = std::min(least, INT64_MAX / 8) + std::min(total, INT64_MAX / 8) * 3 + (std::int64_t{1} << 34);
    const auto fits = [&](std::int64_t bytes) {
      MapCall more = plain;
      set_budget(more.budgets, device, bytes);
      return call_fits(more);
    };
    if (const auto bytes = smallest_budget(least, most, fits)) {
      out.push_back(fmt::format("--max-memory {}={} ({} more)", device, rounded_up(*bytes), size_text(*bytes - least)));
    }
  }
  if (out.empty()) return "a smaller --context or --batch, or more memory";
  return fmt::format("{} makes it fit", fmt::join(out, ", or "));
}

[[noreturn]] void refuse(const MapCall& call, const MapResult& out) {
  const DeviceRow& disk = out.devices.back();
  std::int64_t weights = 0, budgets = 0;
  for (const DeviceRow& row : out.devices) {
    weights += row.weights_bytes;
    budgets += std::min(row.budget_bytes.value_or(0), INT64_MAX / 1024);
  }
  throw CapacityError(fmt::format("{}: does not fit, expected at most {} over all budgets, got {} of weights; {} are missing", call.label,
                                  size_text(budgets), size_text(weights), size_text(disk.weights_bytes - *disk.budget_bytes)),
                      remedies(call));
}

}  // namespace

std::optional<std::int64_t> DeviceRow::free_bytes() const {
  if (!budget_bytes) return std::nullopt;
  return *budget_bytes - weights_bytes - reserved_bytes - kv_cache_bytes;
}

MapResult plan(const MapCall& call) {
  MapResult out;
  out.dtype = call.sizes.dtype.value_or(call.sizes.model_dtype);
  if (call.given_map) {
    check_given_map(call, out);
  } else {
    try {
      plan_once(call, out);
    } catch (const CapacityError& e) {
      throw CapacityError(fmt::format("{}: {}", call.label, e.message().substr(e.message().find(": ") + 2)), remedies(call));
    }
    if (!out.fits && call.policy != DevicePolicy::accelerate) refuse(call, out);
  }
  if (!call.predicts && call.policy != DevicePolicy::optimal) return out;
  const std::vector<PlacementPart> parts = placement_parts(*call.graph, placement_of(call, false));
  if (!out.predicted) out.predicted = predict_time(parts, out.device_map, call.speeds, call.cache.batch);
  if (call.policy == DevicePolicy::optimal && !call.given_map) compare_with_accelerate(call, parts, out);
  std::vector<DeviceKey> used;
  for (const TierLoad& t : out.predicted->tiers) used.push_back(t.device);
  if (const std::string assumed = call.speeds.assumed(used); !assumed.empty()) out.notes.push_back(fmt::format("speeds assumed: {}", assumed));
  return out;
}

}  // namespace bigmodel::app
