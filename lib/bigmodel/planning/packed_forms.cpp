// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/packed_forms.h"

#include <algorithm>
#include <string_view>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "stored size";

std::string_view module_of(std::string_view tensor) {
  const std::size_t dot = tensor.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : tensor.substr(0, dot);
}

/// Whether a part of a dotted name is a number: a module of a repeated layer.
bool in_layer(std::string_view name) {
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    const std::string_view part = name.substr(at, dot - at);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos) return true;
    at = dot + 1;
  }
  return false;
}

PackedTensor matrices_of(const TensorVisit& visit, const LayoutSummary& layout) {
  const Shape& shape = visit.tensor.shape;
  const std::string& kind = visit.module.layer_kind;
  if (visit.is_buffer || visit.tensor.dtype) return {};
  // Subclasses count as they do for the reference, which looks for instances of nn.Linear (falcon has its own).
  if (shape.size() == 2 && (kind == "Linear" || (kind.empty() && visit.module.class_name.ends_with("Linear")))) return {nullptr, 1, shape[0], shape[1]};
  if (shape.size() == 2 && kind == "Conv1D") return {nullptr, 1, shape[1], shape[0]};
  if (shape.size() != 3 || !kind.empty() || shape[0] < 1) return {};
  // Stacked experts; what files keep apart (gate and up) is packed apart.
  const std::int64_t each = layout.file_tensors > shape[0] && layout.file_tensors % shape[0] == 0 ? layout.file_tensors / shape[0] : 1;
  const bool transposed = layout.transposed || (visit.module.block && visit.module.block->kind == "experts" && text_property(*visit.module.block, "layout") == "transposed");
  const std::int64_t out = shape[transposed ? 2 : 1], in = shape[transposed ? 1 : 2];
  if (out % each != 0) return {nullptr, shape[0], out, in};
  return {nullptr, checked_mul(shape[0], each, kObject), out / each, in};
}

}  // namespace

std::int64_t PackedTensor::elements() const { return form == nullptr ? 0 : checked_mul(matrices, packed_elements(*form, out, in), kObject); }

std::int64_t PackedTensor::bytes() const { return form == nullptr ? 0 : checked_mul(matrices, packed_bytes(*form, out, in), kObject); }

PackedForms::PackedForms(const MetaGraph& graph, const QuantizationConfig& quantization) : quantization_(quantization), layouts_(layout_summaries(graph)) {
  for (const std::vector<std::string>& group : graph.tied) heads_.insert(heads_.end(), group.begin(), group.end());
  if (graph.root->block) {
    if (const std::string head = member_path(*graph.root->block, "head"); !head.empty()) heads_.push_back(head + ".weight");
  }
  std::string last;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (!visit.is_buffer) last = visit.name;
  });
  heads_.push_back(last);
}

PackedTensor PackedForms::of(const TensorVisit& visit) const {
  const auto found = layouts_.find(visit.name);
  const LayoutSummary layout = found == layouts_.end() ? LayoutSummary{} : found->second;
  PackedTensor out = matrices_of(visit, layout);
  if (out.matrices == 0 || (visit.tensor.keep_float32 && quantization_.skips_float32)) return out;
  const std::string_view name = module_of(visit.name);
  const bool is_head = !in_layer(name) && std::ranges::find(heads_, visit.name) != heads_.end();
  // Stacked experts have no module of their own: files give each of them one.
  const bool expert = visit.tensor.shape.size() == 3;
  out.form = quantization_.form_of(expert ? std::string_view(visit.name) : name, module_of(layout.first), in_layer(name), expert, is_head);
  return out;
}

}  // namespace bigmodel
