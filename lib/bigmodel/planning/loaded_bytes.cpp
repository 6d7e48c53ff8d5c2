// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/loaded_bytes.h"

#include <fmt/format.h>

#include <functional>
#include <unordered_map>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/shape.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "loaded size";

}  // namespace

void LoadedSizes::Elements::add(const Elements& more, std::int64_t times) {
  const auto join = [&](std::int64_t& into, std::int64_t value) { into = checked_add(into, checked_mul(value, times, kObject), kObject); };
  join(matrices, more.matrices);
  join(floating, more.floating);
  join(kept_float32, more.kept_float32);
  join(fixed_bytes, more.fixed_bytes);
}

LoadedSizes::Elements LoadedSizes::of(const ModuleTemplate& module, const TensorTemplate& tensor) {
  const std::int64_t count = element_count(tensor.shape, tensor.name);
  Elements out;
  if (tensor.dtype) {
    out.fixed_bytes = byte_count(*tensor.dtype, count);
  } else if (tensor.keep_float32) {
    out.kept_float32 = count;
  } else if (tensor.shape.size() >= 3 || (tensor.shape.size() == 2 && module.layer_kind != "Embedding")) {
    out.matrices = count;
  } else {
    out.floating = count;
  }
  return out;
}

LoadedSizes::LoadedSizes(const MetaGraph& graph) {
  std::unordered_map<const ModuleTemplate*, Elements> known;
  const std::function<const Elements&(const ModuleTemplate&)> below = [&](const ModuleTemplate& module) -> const Elements& {
    if (const auto it = known.find(&module); it != known.end()) return it->second;
    Elements sum;
    for (const TensorTemplate& t : module.parameters) sum.add(of(module, t), 1);
    for (const TensorTemplate& t : module.buffers) sum.add(of(module, t), 1);
    for (const ModuleChild& child : module.children) sum.add(below(*child.module), child.count);
    return known.emplace(&module, sum).first->second;
  };
  total_ = below(*graph.root);
  for (const std::vector<std::string>& group : graph.tied) {
    for (std::size_t i = 1; i < group.size(); ++i) {
      const std::size_t dot = group[i].rfind('.');
      const ModuleTemplate* owner = find_module(graph, dot == std::string::npos ? "" : group[i].substr(0, dot));
      if (owner == nullptr) continue;
      const std::string local = group[i].substr(dot == std::string::npos ? 0 : dot + 1);
      for (const TensorTemplate& t : owner->parameters) {
        if (t.name == local) total_.add(of(*owner, t), -1);
      }
    }
  }
}

LoadedBytes LoadedSizes::bytes(DType dtype) const {
  const auto join = [](std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); };
  const bool narrow = bit_size(dtype) < 16;
  const DType wide = narrow ? DType::float16 : dtype;
  const DType kept = wide == DType::float16 ? DType::float32 : wide;  // as resolved_dtype
  LoadedBytes out;
  out.bytes = join(join(byte_count(dtype, total_.matrices), byte_count(wide, total_.floating)),
                   join(byte_count(kept, total_.kept_float32), total_.fixed_bytes));
  if (narrow) {
    out.assumption = fmt::format("weights: matrices in {} without scales, embeddings, norms and biases in float16", name(dtype));
  }
  return out;
}

}  // namespace bigmodel
