// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/device_split.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <unordered_map>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/block_facts.h"
#include "bigmodel/planning/placement.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "split over devices";

std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }
std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }

/// `bytes` * part / whole without overflow of what fits.
std::int64_t portion(std::int64_t bytes, std::int64_t part, std::int64_t whole) {
  return whole <= 0 ? 0 : static_cast<std::int64_t>(static_cast<__int128>(bytes) * part / whole);
}

/// Devices that `loads` need, in order and whole, where none takes more than `capacity`.
std::int64_t devices_for(std::span<const std::int64_t> loads, std::int64_t capacity) {
  std::int64_t devices = 1, held = 0;
  for (const std::int64_t load : loads) {
    if (load > capacity - held) {
      ++devices;
      held = 0;
    }
    held += load;
  }
  return devices;
}

/// The least that the fullest of `devices` can hold.
std::int64_t least_capacity(std::span<const std::int64_t> loads, std::int64_t devices) {
  std::int64_t high = 0;
  for (const std::int64_t load : loads) high = add(high, load);
  std::int64_t low = loads.empty() ? 0 : std::max(*std::ranges::max_element(loads), ceil_div(high, devices));
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (devices_for(loads, middle) <= devices) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

void join_equal(std::vector<DeviceShare>& shares, const DeviceShare& next) {
  if (!shares.empty()) {
    DeviceShare& last = shares.back();
    if (last.weights_bytes == next.weights_bytes && last.cache_bytes == next.cache_bytes && last.layers == next.layers) {
      last.devices += next.devices;
      return;
    }
  }
  shares.push_back(next);
}

}  // namespace

DeviceSplit::DeviceSplit(const MetaGraph& graph, const CachePlan& cache) {
  const std::set<std::string, std::less<>> classes(graph.no_split_modules.begin(), graph.no_split_modules.end());
  std::unordered_map<std::string, std::size_t> place;
  for (const PlacementPart& part : placement_parts(graph, {.no_split = graph.no_split_modules})) {
    const ModuleTemplate* module = find_module(graph, part.names.front());
    const bool is_layer = module != nullptr && classes.contains(module->class_name) && !module->children.empty() && part.names.front().find_first_of("0123456789") != std::string::npos;
    for (const std::string& name : part.names) place.emplace(name, parts_.size());
    parts_.push_back({.bytes = add(part.weights_bytes, part.buffers_bytes), .is_layer = is_layer});
    if (is_layer) ++layers_;
  }
  for (std::size_t i = 0; i < cache.layers.size(); ++i) {
    const CacheLayer& layer = cache.layers[i];
    kv_heads_.push_back(layer.kind == CacheKind::latent || layer.kind == CacheKind::compressed || layer.index_width > 0 ? -1 : layer.kv_heads);
    for (std::string_view at = layer.module; !parts_.empty(); at = at.substr(0, at.rfind('.'))) {
      const auto it = place.find(std::string(at));
      if (it == place.end() && at.find('.') != std::string_view::npos) continue;
      parts_[it == place.end() ? 0 : it->second].caches.push_back(i);
      break;
    }
  }
  std::set<const ModuleTemplate*> seen;
  std::set<std::int64_t> heads;
  for_each_module(graph, [&](const std::string&, const ModuleTemplate& module) {
    if (!module.block || !module.block->error.empty() || !seen.insert(&module).second) return;
    if (module.block->kind.find("attention") == std::string::npos) return;
    if (const std::int64_t count = integer_property(*module.block, "heads").value_or(0); count > 0) heads.insert(count);
  });
  heads_.assign(heads.begin(), heads.end());
}

bool DeviceSplit::divides(std::int64_t devices) const {
  return std::ranges::all_of(heads_, [&](std::int64_t heads) { return heads % devices == 0; });
}

std::vector<std::int64_t> DeviceSplit::weights_of_parts(std::int64_t weights_bytes, int outside_bits) const {
  std::int64_t outside = 0, inside = 0;
  for (const Part& part : parts_) (part.is_layer ? inside : outside) = add(part.is_layer ? inside : outside, part.bytes);
  const std::int64_t outside_bytes = std::max(outside_bits, 16) == 16 ? outside : portion(outside, outside_bits, 16);
  const bool apart = inside > 0 && outside_bytes <= weights_bytes;
  std::vector<std::int64_t> out;
  std::int64_t given = 0;
  for (const Part& part : parts_) {
    std::int64_t bytes = portion(weights_bytes, part.bytes, inside + outside);
    if (apart) bytes = part.is_layer ? portion(weights_bytes - outside_bytes, part.bytes, inside) : portion(outside_bytes, part.bytes, outside);
    out.push_back(bytes);
    given += bytes;
  }
  if (!out.empty()) out.back() += weights_bytes - given;  // what rounding left
  return out;
}

std::vector<DeviceShare> DeviceSplit::contiguous(std::int64_t devices, std::span<const std::int64_t> weights, std::span<const std::int64_t> caches) const {
  std::vector<std::int64_t> loads;
  for (std::size_t i = 0; i < parts_.size(); ++i) loads.push_back(add(weights[i], caches[i]));
  const std::int64_t capacity = least_capacity(loads, devices);
  std::vector<DeviceShare> out;
  DeviceShare now;
  const auto close = [&] {
    join_equal(out, now);
    now = {.first_device = now.first_device + 1, .first_layer = now.first_layer + now.layers};
  };
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (loads[i] > capacity - now.bytes()) close();
    now.weights_bytes += weights[i];
    now.cache_bytes += caches[i];
    if (parts_[i].is_layer) ++now.layers;
  }
  close();
  if (now.first_device < devices) {
    now.devices = devices - now.first_device;
    join_equal(out, now);
  }
  return out;
}

std::vector<DeviceShare> DeviceSplit::over(std::int64_t devices, SplitMode mode, std::int64_t weights_bytes, int outside_bits, const CacheSize& cache) const {
  if (devices == 1) return {{.layers = layers_, .weights_bytes = weights_bytes, .cache_bytes = cache.total_bytes}};
  if (mode == SplitMode::layers) {
    std::vector<std::int64_t> caches;
    for (const Part& part : parts_) {
      caches.push_back(std::accumulate(part.caches.begin(), part.caches.end(), std::int64_t{0}, [&](std::int64_t sum, std::size_t i) { return add(sum, cache.layer_bytes[i]); }));
    }
    return contiguous(devices, weights_of_parts(weights_bytes, outside_bits), caches);
  }
  if (!divides(devices)) {
    throw UsageError(fmt::format("tensor parallelism: {} devices do not divide {} heads", devices, fmt::join(heads_, " and ")),
                     "use a divisor, or split by layers");
  }
  DeviceShare each{.devices = devices, .layers = layers_, .weights_bytes = ceil_div(weights_bytes, devices)};
  for (std::size_t i = 0; i < kv_heads_.size(); ++i) {
    // Heads stay whole: fewer of them than devices are there several times; a latent cache lies on every device.
    const std::int64_t heads = kv_heads_[i], bytes = cache.layer_bytes[i];
    const std::int64_t own = heads < 0 ? bytes : heads == 0 ? ceil_div(bytes, devices) : mul(bytes / heads, ceil_div(heads, devices));
    each.cache_bytes = add(each.cache_bytes, own);
  }
  return {each};
}

const DeviceShare& fullest(std::span<const DeviceShare> shares) { return *std::ranges::max_element(shares, {}, &DeviceShare::bytes); }

}  // namespace bigmodel
