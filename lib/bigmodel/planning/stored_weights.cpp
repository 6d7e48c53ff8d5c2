// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/stored_weights.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/model/block_facts.h"
#include "bigmodel/model/disk_layout.h"

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

/// Equal matrices that make up one tensor.
struct Matrices {
  std::int64_t count = 0, out = 0, in = 0;
};

Matrices matrices_of(const TensorVisit& visit, const LayoutSummary& layout) {
  const Shape& shape = visit.tensor.shape;
  const std::string& kind = visit.module.layer_kind;
  if (visit.is_buffer || visit.tensor.dtype) return {};
  if (shape.size() == 2 && kind == "Linear") return {1, shape[0], shape[1]};
  if (shape.size() == 2 && kind == "Conv1D") return {1, shape[1], shape[0]};
  if (shape.size() != 3 || !kind.empty() || shape[0] < 1) return {};
  // Stacked experts; what files keep apart (gate and up) is packed apart.
  const std::int64_t each = layout.file_tensors > shape[0] && layout.file_tensors % shape[0] == 0 ? layout.file_tensors / shape[0] : 1;
  const std::int64_t out = shape[layout.transposed ? 2 : 1], in = shape[layout.transposed ? 1 : 2];
  if (out % each != 0) return {shape[0], out, in};
  return {checked_mul(shape[0], each, kObject), out / each, in};
}

class Pricer {
 public:
  Pricer(const MetaGraph& graph, const QuantizationConfig& quantization, std::optional<DType> plain)
      : quantization_(quantization), layouts_(layout_summaries(graph)), plain_(plain.value_or(graph.stored_dtype.value_or(DType::bfloat16))) {
    out_.method = quantization.method;
    out_.unknown = quantization.unknown;
    out_.warnings = quantization.warnings;
    for (const std::vector<std::string>& group : graph.tied) heads_.insert(heads_.end(), group.begin(), group.end());
    if (graph.root->block) {
      if (const std::string head = member_path(*graph.root->block, "head"); !head.empty()) heads_.push_back(head + ".weight");
    }
    std::string last;
    for_each_tensor(graph, [&](const TensorVisit& visit) {
      if (!visit.is_buffer) last = visit.name;
    });
    heads_.push_back(last);
    for_each_tensor(graph, [this](const TensorVisit& visit) { take(visit); });
    // Packed forms first, in order of appearance.
    std::ranges::stable_sort(out_.parts, {}, [this](const StoredWeights::Part& part) { return !packed_.contains(part.form); });
  }

  StoredWeights result() && { return std::move(out_); }

 private:
  void take(const TensorVisit& visit) {
    if (!visit.tied_to.empty() || (visit.is_buffer && !visit.tensor.persistent)) return;
    const auto found = layouts_.find(visit.name);
    const LayoutSummary layout = found == layouts_.end() ? LayoutSummary{} : found->second;
    const std::int64_t elements = element_count(visit.tensor.shape, visit.name);
    const Matrices m = matrices_of(visit, layout);
    const std::string_view name = module_of(visit.name);
    const bool is_head = !in_layer(name) && std::ranges::find(heads_, visit.name) != heads_.end();
    const PackedForm* form = nullptr;
    if (m.count > 0) {
      // Stacked experts have no module of their own: files give each of them one.
      const bool expert = visit.tensor.shape.size() == 3;
      form = quantization_.form_of(expert ? std::string_view(visit.name) : name, module_of(layout.first), in_layer(name), expert, is_head);
    }
    if (form != nullptr) {
      packed_.insert(form->name);
      add(form->name, elements, checked_mul(m.count, packed_bytes(*form, m.out, m.in), kObject));
    } else {
      const DType dtype = resolved_dtype(visit.tensor, plain_);
      add(std::string(bigmodel::name(dtype)), elements, byte_count(dtype, elements));
    }
  }

  void add(const std::string& form, std::int64_t elements, std::int64_t bytes) {
    auto it = std::ranges::find(out_.parts, form, &StoredWeights::Part::form);
    if (it == out_.parts.end()) it = out_.parts.insert(it, {form, 0, 0});
    it->parameters = checked_add(it->parameters, elements, kObject);
    it->bytes = checked_add(it->bytes, bytes, kObject);
    out_.parameters = checked_add(out_.parameters, elements, kObject);
    out_.bytes = checked_add(out_.bytes, bytes, kObject);
  }

  const QuantizationConfig& quantization_;
  std::unordered_map<std::string, LayoutSummary> layouts_;
  DType plain_;
  std::set<std::string> packed_;
  std::vector<std::string> heads_;
  StoredWeights out_;
};

}  // namespace

StoredWeights price_stored_weights(const MetaGraph& graph, const QuantizationConfig& quantization, std::optional<DType> plain) {
  return Pricer(graph, quantization, plain).result();
}

}  // namespace bigmodel
