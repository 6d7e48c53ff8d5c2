// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/checkpoint_totals.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <unordered_map>

#include "bigmodel/checkpoint/shard_plan.h"
#include "bigmodel/checkpoint/shared_tensors.h"
#include "bigmodel/core/checked_math.h"

namespace bigmodel {
namespace {

void add(TensorTotal& total, const CheckpointTensor& tensor) {
  ++total.tensors;
  total.parameters = checked_add(total.parameters, element_count(tensor.shape, tensor.name), tensor.name);
  total.size_bytes = checked_add(total.size_bytes, tensor.size_bytes, tensor.name);
}

void add(std::vector<DTypeTotal>& totals, const CheckpointTensor& tensor) {
  auto it = std::ranges::find(totals, tensor.dtype, &DTypeTotal::dtype);
  if (it == totals.end()) {
    totals.emplace_back().dtype = tensor.dtype;
    it = totals.end() - 1;
  }
  add(*it, tensor);
}

/// One layer before folding.
struct Layer {
  LayerTotal total;
  std::string stem;                   ///< the name without its last number: layers of one stem stand together
  std::uint64_t number = 0;
  bool numbered = false;
  std::size_t stem_place = 0;         ///< where the stem appeared first
  std::vector<std::string> members;   ///< what follows the layer's name, with dtype and shape
};

Layer layer_named(std::string_view name) {
  Layer out;
  out.total.name = name;
  const std::string_view last = name.substr(name.rfind('.') + 1);
  const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), out.number);
  out.numbered = !last.empty() && error == std::errc() && end == last.data() + last.size() && (last == "0" || last.front() != '0');
  out.stem = out.numbered ? name.substr(0, name.size() - last.size()) : name;
  return out;
}

std::vector<LayerTotal> folded(std::vector<Layer> layers) {
  for (Layer& layer : layers) std::ranges::sort(layer.members);
  std::ranges::stable_sort(layers, {}, [](const Layer& layer) { return std::pair(layer.stem_place, layer.number); });
  std::vector<LayerTotal> out;
  const Layer* first = nullptr;
  for (const Layer& layer : layers) {
    const bool follows = first != nullptr && layer.numbered && first->numbered && layer.stem == first->stem && layer.number == first->number + out.back().count &&
                         layer.members == first->members;
    if (follows) {
      ++out.back().count;
      out.back().name = fmt::format("{}{}-{}", first->stem, first->number, layer.number);
    } else {
      first = &layer;
      out.push_back(layer.total);
    }
  }
  return out;
}

}  // namespace

CheckpointTotals checkpoint_totals(const Checkpoint& checkpoint) {
  CheckpointTotals out;
  std::vector<Layer> layers;
  std::unordered_map<std::string_view, std::size_t> by_name;
  std::unordered_map<std::string, std::size_t> stems;
  for (const std::uint32_t i : keep_distinct(checkpoint).kept) {
    const CheckpointTensor& tensor = checkpoint.tensors[i];
    add(out, tensor);
    add(out.dtypes, tensor);
    const std::string_view name = layer_of(tensor.name);
    const auto [it, fresh] = by_name.emplace(name, layers.size());
    if (fresh) {
      layers.push_back(layer_named(name));
      layers.back().stem_place = stems.emplace(layers.back().stem, stems.size()).first->second;
    }
    Layer& layer = layers[it->second];
    add(layer.total, tensor);
    add(layer.total.dtypes, tensor);
    layer.members.push_back(fmt::format("{} {} {}", tensor.name.substr(name.size()), bigmodel::name(tensor.dtype), to_string(tensor.shape)));
  }
  out.layers = folded(std::move(layers));
  return out;
}

}  // namespace bigmodel
