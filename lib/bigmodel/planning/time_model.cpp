// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/time_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"

namespace bigmodel {
namespace {

constexpr std::string_view kOption = "--bandwidth";

std::string rate(double bytes_per_second) {
  const char* units[] = {"B/s", "KB/s", "MB/s", "GB/s", "TB/s"};
  std::size_t u = 0;
  while (u < 4 && bytes_per_second >= 1000) {
    bytes_per_second /= 1000;
    ++u;
  }
  return fmt::format("{:.3g}{}", bytes_per_second, units[u]);
}

double parse_rate(std::string_view text) {
  std::string_view size = text;
  if (size.ends_with("/s")) size.remove_suffix(2);
  const auto bytes = static_cast<double>(parse_byte_size(size, kOption));
  if (bytes <= 0) {
    throw UsageError(fmt::format("{}: '{}' is no speed, expected more than 0, such as 200GB/s", kOption, text.substr(0, 60)));
  }
  return bytes;
}

}  // namespace

double TierSpeeds::of(const DeviceKey& device) const {
  for (const auto& [key, value] : measured) {
    if (key == device) return value;
  }
  if (is_accelerator(device)) return every_accelerator.value_or(kAccelerator);
  return to_string(device) == "disk" ? kDisk : kCpu;
}

std::string TierSpeeds::assumed(std::span<const DeviceKey> devices) const {
  std::string out;
  for (const DeviceKey& device : devices) {
    const bool known = std::ranges::find(measured, device, &std::pair<DeviceKey, double>::first) != measured.end();
    if (known || (is_accelerator(device) && every_accelerator)) continue;
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", to_string(device), rate(of(device)));
  }
  return out;
}

TierSpeeds parse_tier_speeds(std::span<const std::string> items) {
  TierSpeeds out;
  for (const std::string& item : items) {
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UsageError(fmt::format("{}: '{}' is no tier and speed, expected <device>=<bytes>/s", kOption, item.substr(0, 60)),
                       "for example 0=3.3TB/s,cpu=200GB/s,disk=3GB/s");
    }
    const std::string name = item.substr(0, equals);
    const double value = parse_rate(std::string_view(item).substr(equals + 1));
    if (name == "gpu") {
      out.every_accelerator = value;
      continue;
    }
    if (name == "pcie") {
      out.link = value;
      continue;
    }
    DeviceKey key = name;
    if (const auto number = parse_number<std::int64_t>(name); number && *number >= 0) {
      key = *number;
    } else if (name != "cpu" && name != "disk" && name != "mps") {
      throw UsageError(fmt::format("{}: unknown tier '{}', expected a device number, gpu, mps, pcie, cpu or disk", kOption, name.substr(0, 60)));
    }
    if (std::ranges::find(out.measured, key, &std::pair<DeviceKey, double>::first) != out.measured.end()) {
      throw UsageError(fmt::format("{}: '{}' is given twice", kOption, name));
    }
    out.measured.emplace_back(key, value);
  }
  return out;
}

bool is_accelerator(const DeviceKey& device) {
  const std::string* text = std::get_if<std::string>(&device);
  return text == nullptr || (*text != "cpu" && *text != "disk");
}

Prediction predict_time(std::span<const PlacementPart> parts, const DeviceMap& map, const TierSpeeds& speeds, std::int64_t batch, bool reads_ahead) {
  Prediction out;
  std::unordered_map<std::string_view, const DeviceKey*> exact;
  DeviceKey main = std::string("cpu");
  bool accelerated = false;
  for (const auto& [name, device] : map) {
    exact.emplace(name, &device);
    if (!accelerated && is_accelerator(device)) {
      main = device;
      accelerated = true;
    }
  }
  const auto tier = [&out](const DeviceKey& device) -> TierLoad& {
    for (TierLoad& t : out.tiers) {
      if (t.device == device) return t;
    }
    out.tiers.push_back({.device = device});
    return out.tiers.back();
  };
  const auto found = [&exact](std::string_view name) -> const DeviceKey* {
    for (std::string_view at = name;;) {
      if (const auto it = exact.find(at); it != exact.end()) return it->second;
      if (at.empty()) return nullptr;
      const std::size_t dot = at.rfind('.');
      at = dot == std::string_view::npos ? std::string_view{} : at.substr(0, dot);
    }
  };
  double run = 0, from_cpu = 0, from_disk = 0, waited = 0;
  std::vector<DeviceKey> runners;
  for (const PlacementPart& part : parts) {
    const DeviceKey* given = found(part.names.front());
    const DeviceKey device = given == nullptr ? main : *given;
    const bool runs_here = is_accelerator(device) || (!accelerated && to_string(device) == "cpu");
    const DeviceKey runner = runs_here ? device : main;
    {
      TierLoad& t = tier(device);
      t.weights_bytes += part.weights_bytes + part.buffers_bytes;
      t.read_bytes += part.read_bytes;
    }
    TierLoad& t = tier(runner);
    t.cache_bytes += part.cache_bytes;
    const double seconds = (part.read_bytes + static_cast<double>(part.cache_bytes)) / speeds.of(runner);
    t.seconds += seconds;
    run += seconds;
    if (seconds > 0 && std::ranges::find(runners, runner) == runners.end()) runners.push_back(runner);
    if (runs_here) continue;
    const bool waited_for = (part.on_demand || !reads_ahead) && !accelerated;
    (to_string(device) != "disk" ? from_cpu : waited_for ? waited : from_disk) += part.read_bytes;
  }
  const double link = std::min(speeds.of(std::string("cpu")), speeds.link.value_or(speeds.of(std::string("cpu"))));
  if (runners.size() > 1) run += kHopSeconds * static_cast<double>(runners.size() - 1);
  double step = run;
  const TierLoad* slowest = nullptr;
  for (const TierLoad& t : out.tiers) {
    if (slowest == nullptr || t.seconds > slowest->seconds) slowest = &t;
  }
  out.bound = slowest == nullptr ? to_string(main) : to_string(slowest->device);
  const auto passes = [&](const char* device, double seconds) {
    for (TierLoad& t : out.tiers) {
      if (to_string(t.device) == device) t.seconds = seconds;
    }
    if (seconds > step) {
      step = seconds;
      out.bound = device;
    }
  };
  if (accelerated && from_cpu + from_disk > 0) passes("cpu", (from_cpu + from_disk) / link);
  const double disk = speeds.of(std::string("disk"));
  if (from_disk + waited > 0) passes("disk", (from_disk + waited) / disk);
  if (waited > 0 && waited / disk > run) out.bound = "disk";
  step = std::max(step, run + waited / disk);
  out.seconds_per_step = step;
  out.tokens_per_second = step > 0 ? static_cast<double>(batch) / step : 0;
  return out;
}

}  // namespace bigmodel
