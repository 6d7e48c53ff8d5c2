// SPDX-License-Identifier: Apache-2.0
#include "commands/init_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/model/disk_names.h"

namespace bigmodel::app {
namespace {

/// Where a tensor of memory stands in the state dict, and what it is.
struct Origin {
  std::size_t module_number = 0;
  std::size_t place = 0;        ///< among all tensors, parameters first
  bool is_buffer = false;
  const TensorTemplate* tensor = nullptr;
  const ModuleTemplate* module = nullptr;
};

std::unordered_map<std::string, Origin> origins_of(const MetaGraph& graph) {
  std::unordered_map<std::string, std::size_t> modules;
  for_each_module(graph, [&](const std::string& name, const ModuleTemplate&) { modules.emplace(name, modules.size()); });
  std::unordered_map<std::string, Origin> out;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    const std::size_t dot = visit.name.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : visit.name.substr(0, dot);
    out.emplace(visit.name, Origin{modules.at(owner), out.size(), visit.is_buffer, &visit.tensor, &visit.module});
  });
  return out;
}

/// `name` is the last part of the name in memory.
TensorFill fill_of(const RandomTensor& tensor, const std::string& name, double deviation) {
  using Kind = TensorFill::Kind;
  const std::size_t rank = tensor.shape.size();
  if (!is_floating_point(tensor.dtype)) {
    if (!name.ends_with("position_ids") || rank == 0) return {.kind = Kind::zeros};
    return {.kind = Kind::arange, .period = static_cast<std::uint64_t>(std::max<std::int64_t>(tensor.shape.back(), 1))};
  }
  if (name == "running_var") return {.kind = Kind::ones};
  if (name == "running_mean" || name.ends_with("bias")) return {.kind = Kind::zeros};
  // The only weights of one dimension are those of norms.
  if (name.ends_with("weight") && rank <= 1) return {.kind = Kind::ones};
  return {.kind = Kind::normal, .deviation = static_cast<float>(deviation)};
}

}  // namespace

std::vector<RandomTensor> init_tensors(const MetaGraph& graph, const InitOptions& options) {
  const std::unordered_map<std::string, Origin> origins = origins_of(graph);
  std::vector<DiskTensor> disk = disk_tensors(graph, options.dtype);
  for (const std::string& name : options.buffers) {
    const auto it = origins.find(name);
    if (it == origins.end() || !it->second.is_buffer) {
      std::vector<std::string> buffers;
      for (const auto& [known, origin] : origins) {
        if (origin.is_buffer) buffers.push_back(known);
      }
      std::ranges::sort(buffers);
      throw NotFoundError(fmt::format("--buffers: {} has no buffer '{}'", graph.class_name, name), did_you_mean(name, buffers));
    }
    const auto same = [&](const DiskTensor& tensor) { return tensor.memory_name == name; };
    if (std::ranges::any_of(disk, same)) continue;
    disk.push_back({.name = name, .shape = it->second.tensor->shape, .dtype = resolved_dtype(*it->second.tensor, options.dtype), .memory_name = name});
  }
  std::ranges::stable_sort(disk, {}, [&](const DiskTensor& tensor) {
    const Origin& origin = origins.at(tensor.memory_name);
    return std::tuple(origin.module_number, origin.is_buffer, origin.place);
  });
  std::vector<RandomTensor> out;
  out.reserve(disk.size());
  for (DiskTensor& from : disk) {
    RandomTensor tensor;
    tensor.name = std::move(from.name);
    tensor.dtype = from.dtype;
    tensor.shape = std::move(from.shape);
    tensor.fill = fill_of(tensor, origins.at(from.memory_name).tensor->name, options.deviation);
    out.push_back(std::move(tensor));
  }
  return out;
}

std::vector<RandomTensor> initial_tensors(const MetaGraph& graph, const InitOptions& options) {
  std::vector<RandomTensor> out;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (!visit.tensor.persistent) return;
    RandomTensor tensor;
    tensor.name = visit.name;
    tensor.dtype = resolved_dtype(visit.tensor, options.dtype);
    tensor.shape = visit.tensor.shape;
    tensor.fill = fill_of(tensor, visit.tensor.name, options.deviation);
    out.push_back(std::move(tensor));
  });
  return out;
}

double init_deviation(const Config& config) {
  const spec::Value* value = spec::find(config.data, "initializer_range");
  if (value == nullptr || value->if_double() == nullptr) return 0.02;
  const double deviation = *value->if_double();
  return deviation > 0 && deviation < 1 ? deviation : 0.02;
}

}  // namespace bigmodel::app
