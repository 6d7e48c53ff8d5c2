// SPDX-License-Identifier: Apache-2.0
#include "commands/device_map_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/planning/expanded_graph.h"
#include "render/bars.h"
#include "render/text_table.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

std::string size_text(std::int64_t bytes) {
  if (bytes >= 0) return format_binary(static_cast<std::uint64_t>(bytes));
  return fmt::format("-{}", format_binary(static_cast<std::uint64_t>(-(bytes + 1)) + 1));
}
std::string size_text(const ReferenceNumber& bytes) { return size_text(bytes.as_bytes()); }

Json device_json(const DeviceKey& device) {
  return std::visit([](const auto& key) { return Json(key); }, device);
}

Json device_row_json(const DeviceRow& row) {
  Json out = {{"device", device_json(row.device)}};
  if (row.budget_bytes) out["budget_bytes"] = *row.budget_bytes;
  out["weights_bytes"] = row.weights_bytes;
  out["reserved_bytes"] = row.reserved_bytes;
  if (row.kv_cache_bytes > 0) out["kv_cache_bytes"] = row.kv_cache_bytes;
  if (const auto free = row.free_bytes()) out["free_bytes"] = *free;
  if (row.required_bytes) out["required_bytes"] = *row.required_bytes;
  return out;
}

/// "model.layers.0" and "model.layers.1": a name's last number and what stands around it.
struct Numbered {
  std::string before, after;
  std::int64_t number = -1;
};

Numbered numbered(const std::string& name) {
  for (std::size_t end = name.size(); end > 0;) {
    const std::size_t dot = name.rfind('.', end - 1);
    const std::size_t begin = dot == std::string::npos ? 0 : dot + 1;
    const auto number = parse_number<std::int64_t>(std::string_view(name).substr(begin, end - begin));
    if (number && *number >= 0) return {name.substr(0, begin), name.substr(end), *number};
    if (dot == std::string::npos) break;
    end = dot;
  }
  return {name, "", -1};
}

/// Names of one device in order, runs of numbers folded: "model.embed_tokens, model.layers.0-13".
std::vector<std::string> folded(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < names.size();) {
    const Numbered first = numbered(names[i]);
    std::size_t n = 1;
    while (first.number >= 0 && i + n < names.size()) {
      const Numbered next = numbered(names[i + n]);
      if (next.before != first.before || next.after != first.after || next.number != first.number + static_cast<std::int64_t>(n)) break;
      ++n;
    }
    out.push_back(n == 1 ? (names[i].empty() ? std::string("(the whole model)") : names[i])
                         : fmt::format("{}{}-{}{}", first.before, first.number, first.number + static_cast<std::int64_t>(n) - 1, first.after));
    i += n;
  }
  return out;
}

/// Lines of at most `width` cells, continued under the first name.
std::string wrapped(const std::string& title, std::size_t indent, const std::vector<std::string>& names, std::size_t width) {
  std::string out, line = fmt::format("{:<{}}", title, indent);
  bool fresh = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string piece = names[i] + (i + 1 < names.size() ? "," : "");
    if (!fresh && line.size() + 1 + piece.size() > width) {
      out += line + "\n";
      line = std::string(indent, ' ');
      fresh = true;
    }
    line += fresh ? piece : " " + piece;
    fresh = false;
  }
  return out + line + "\n";
}

std::string devices_table(const MapResult& result, const Terminal& terminal) {
  const bool caches = std::ranges::any_of(result.devices, [](const DeviceRow& row) { return row.kv_cache_bytes > 0; });
  TextTable table;
  table.columns = {{"device"}, {"budget", Align::right}, {"weights", Align::right}};
  if (caches) table.columns.push_back({"KV cache", Align::right});
  table.columns.insert(table.columns.end(), {{"reserved", Align::right}, {"free", Align::right}, {"use"}});
  for (const DeviceRow& row : result.devices) {
    std::vector<std::string> cells = {to_string(row.device), row.budget_bytes ? size_text(*row.budget_bytes) : "no limit", size_text(row.weights_bytes)};
    if (caches) cells.push_back(size_text(row.kv_cache_bytes));
    cells.push_back(size_text(row.reserved_bytes));
    cells.push_back(row.budget_bytes ? size_text(*row.free_bytes()) : "");
    const double budget = row.budget_bytes ? static_cast<double>(*row.budget_bytes) : 0;
    const double used = static_cast<double>(row.weights_bytes) + static_cast<double>(row.reserved_bytes) + static_cast<double>(row.kv_cache_bytes);
    const std::string percent = budget > 0 ? fmt::format("{:>4.0f} %", 100 * used / budget) : "";
    cells.push_back(budget > 0 ? bar(used / budget, 12, terminal) + percent : "");
    table.rows.push_back(std::move(cells));
  }
  return box_table(table, terminal);
}

std::string rate_text(double tokens_per_second) {
  return tokens_per_second >= 10 ? fmt::format("{:.0f}", tokens_per_second) : fmt::format("{:.3g}", tokens_per_second);
}

/// A device's own word for the tier that binds.
std::string tier_text(const std::string& bound) { return bound == "cpu" || bound == "disk" ? bound : "device " + bound; }

}  // namespace

nlohmann::ordered_json device_map_json(const DeviceMap& map) {
  Json out = Json::object();
  // Appended without looking for equal keys, which a map does not have.
  auto& object = out.get_ref<Json::object_t&>();
  for (const auto& [name, device] : map) object.Json::object_t::Container::emplace_back(name, device_json(device));
  return out;
}

nlohmann::ordered_json map_json(const MapCall& call, const MapResult& result) {
  Json out;
  out["dtype"] = name(result.dtype);
  out["policy"] = to_string(call.policy);
  out["hf_device_map"] = device_map_json(result.device_map);
  out["devices"] = Json::array();
  for (const DeviceRow& row : result.devices) out["devices"].push_back(device_row_json(row));
  out["fits"] = result.fits;
  out["messages"] = result.messages;
  if (result.predicted) {
    out["predicted"] = {{"tokens_per_second", result.predicted->tokens_per_second}, {"bound", result.predicted->bound}};
    if (result.accelerate_predicted) {
      out["predicted"]["accelerate_tokens_per_second"] = result.accelerate_predicted->tokens_per_second;
      out["predicted"]["accelerate_bound"] = result.accelerate_predicted->bound;
      if (result.accelerate_missing_bytes > 0) out["predicted"]["accelerate_missing_bytes"] = result.accelerate_missing_bytes;
    }
    if (!result.proved) out["predicted"]["proved"] = false;
  }
  if (call.given_map) out["check"] = {{"unknown", result.unknown_keys}, {"uncovered", result.uncovered}};
  out["assumptions"] = result.notes;
  out["warnings"] = result.warnings;
  return out;
}

std::string map_text(const MapCall& call, const MapResult& result, const Terminal& terminal) {
  std::string out = fmt::format("{}: {} in {}, {}\n", call.label, call.graph->class_name.empty() ? "model" : call.graph->class_name, name(result.dtype),
                                call.given_map ? "the given map" : fmt::format("policy {}", to_string(call.policy)));
  out += devices_table(result, terminal);
  std::vector<std::pair<DeviceKey, std::vector<std::string>>> groups;
  for (const auto& [module, device] : result.device_map) {
    auto group = std::ranges::find(groups, device, [](const auto& g) { return g.first; });
    if (group == groups.end()) group = groups.insert(group, {device, {}});
    group->second.push_back(module);
  }
  std::size_t indent = 0;
  for (const auto& [device, names] : groups) indent = std::max(indent, to_string(device).size() + 2);
  for (const auto& [device, names] : groups) out += wrapped(to_string(device), indent, folded(names), 100);
  if (result.predicted) {
    out += fmt::format("predicted: {} tokens/s, bound by {}\n", rate_text(result.predicted->tokens_per_second), tier_text(result.predicted->bound));
  }
  if (result.accelerate_predicted) {
    out += fmt::format("accelerate's map: {} tokens/s, bound by {}{}\n", rate_text(result.accelerate_predicted->tokens_per_second),
                       tier_text(result.accelerate_predicted->bound),
                       result.accelerate_missing_bytes > 0
                           ? fmt::format("; but {} lacks {} for the KV cache and activations", tier_text(to_string(result.accelerate_short_device)),
                                         size_text(result.accelerate_missing_bytes))
                           : "");
  }
  if (!result.proved) out += "the search was cut off: a better map may exist\n";
  return out;
}

std::string map_python(const DeviceMap& map) {
  if (map.empty()) return "{}\n";
  std::string out = "{\n";
  for (const auto& [name, device] : map) {
    const auto* text = std::get_if<std::string>(&device);
    out += fmt::format("    {}: {},\n", python_repr(name), text != nullptr ? python_repr(std::string_view(*text)) : to_string(device));
  }
  return out + "}\n";
}

std::string step_text(const PlacementStep& step) {
  const std::string device = to_string(step.device);
  const std::string name = step.name.empty() ? "the model" : step.name;
  std::string room = "no limit there";
  if (step.budget_bytes) {
    room = fmt::format("{} left", size_text(std::max<std::int64_t>((*step.budget_bytes - step.used_bytes).as_bytes(), 0)));
    if (step.reserved_bytes > 0) room += fmt::format(" beside {} kept for the largest layer", size_text(step.reserved_bytes));
  }
  std::string size = size_text(step.size_bytes);
  if (step.needed_bytes != step.size_bytes) size += fmt::format(" ({} with what is tied to it)", size_text(step.needed_bytes));
  switch (step.action) {
    case PlacementStep::Action::placed:
      return fmt::format("{}: {} on {} ({}){}", name, size, device, room,
                         step.tied.empty() ? "" : fmt::format(", together with {}, which is tied to it", fmt::join(step.tied, ", ")));
    case PlacementStep::Action::split: return fmt::format("{}: {} do not fit {} ({}): split", name, size, device, room);
    case PlacementStep::Action::split_tied:
      return fmt::format("{}: {} do not fit {} ({}): {}, tied to it, is split", name, size, device, room, fmt::join(step.tied, ", "));
    case PlacementStep::Action::next_device: return fmt::format("{}: {} do not fit {} ({}): on to the next device", name, size, device, room);
    case PlacementStep::Action::moved_forward: return fmt::format("{}: fits the empty {} and comes first", name, device);
  }
  return {};
}

Explanation explain(const MapCall& call, const MapResult& result, const std::string& module) {
  const ExpandedGraph graph(*call.graph);
  if (!graph.find(module)) {
    std::vector<std::string> names;
    for (std::int32_t i = 1; i < std::min(graph.size(), 20'000); ++i) names.push_back(graph.name(i));
    const auto longer = std::ranges::find_if(names, [end = "." + module](const std::string& name) { return name.ends_with(end); });
    throw NotFoundError(fmt::format("--explain: {} has no module '{}'", call.label, module.substr(0, 100)),
                        longer != names.end() ? fmt::format("did you mean '{}'?", *longer) : did_you_mean(module, names));
  }
  Explanation out;
  out.module = module;
  const auto holds = [](const std::string& outer, const std::string& inner) {
    return outer.empty() || outer == inner || (inner.starts_with(outer) && inner[outer.size()] == '.');
  };
  const auto add = [&out](const DeviceKey& device) {
    if (std::ranges::find(out.devices, device) == out.devices.end()) out.devices.push_back(device);
  };
  const DeviceKey* above = nullptr;
  std::size_t longest = 0;
  for (const auto& [name, device] : result.device_map) {
    if (holds(name, module) && (above == nullptr || name.size() >= longest)) {
      above = &device;
      longest = name.size();
    } else if (holds(module, name)) {
      add(device);
    }
  }
  if (above != nullptr && out.devices.empty()) add(*above);
  constexpr std::size_t kMostSteps = 40;
  std::size_t left_out = 0;
  for (const PlacementStep& step : result.steps) {
    const bool tied = std::ranges::any_of(step.tied, [&](const std::string& t) { return holds(t, module); });
    if (!holds(step.name, module) && !holds(module, step.name) && !tied) continue;
    if (out.steps.size() < kMostSteps) out.steps.push_back(step_text(step));
    else ++left_out;
  }
  if (left_out > 0) out.steps.push_back(fmt::format("and {} more steps inside it", left_out));
  if (call.policy == DevicePolicy::optimal && result.predicted) {
    out.steps.push_back(fmt::format("chosen for the least time per token: {} tokens/s, bound by {}", rate_text(result.predicted->tokens_per_second),
                                    tier_text(result.predicted->bound)));
  }
  return out;
}

std::string explanation_text(const Explanation& explanation) {
  std::vector<std::string> devices;
  for (const DeviceKey& device : explanation.devices) devices.push_back(to_string(device));
  std::string out = fmt::format("{} lies on {}\n", explanation.module.empty() ? "the model" : explanation.module,
                                devices.empty() ? "nothing: it has no tensors" : fmt::format("{}", fmt::join(devices, " and ")));
  for (const std::string& step : explanation.steps) out += "  " + step + "\n";
  return out;
}

nlohmann::ordered_json explanation_json(const Explanation& explanation) {
  Json devices = Json::array();
  for (const DeviceKey& device : explanation.devices) devices.push_back(device_json(device));
  return {{"module", explanation.module}, {"devices", devices}, {"steps", explanation.steps}};
}

}  // namespace bigmodel::app
