// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/training_widths.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/suggestion.h"
#include "bigmodel/model/block_facts.h"
#include "bigmodel/planning/activations.h"

namespace bigmodel {
namespace {

constexpr std::string_view kObject = "training";

std::int64_t mul(std::int64_t a, std::int64_t b) { return checked_mul(a, b, kObject); }
std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, kObject); }

std::int64_t out_of(const ModuleTemplate& module, std::string_view member) { return projection_shape(member_module(module, member)).out; }

bool is_attention(const ModuleTemplate& module) { return module.block && module.block->kind.find("attention") != std::string::npos; }

/// A norm's width; 0 for other modules.
std::int64_t norm_width(const ModuleTemplate& module) {
  const TensorTemplate* weight = find_parameter(module, "weight");
  if (weight == nullptr || weight->shape.size() != 1 || module.class_name.find("Norm") == std::string::npos) return 0;
  return weight->shape[0];
}

class Reader {
 public:
  explicit Reader(const MetaGraph& graph) : layer_classes_(graph.no_split_modules.begin(), graph.no_split_modules.end()) {}

  struct Sums {
    KeptWidths kept;
    std::int64_t elements = 0;
  };

  const Sums& below(const ModuleTemplate& module) {
    if (const auto it = known_.find(&module); it != known_.end()) return it->second;
    Sums sums;
    sums.kept = own(module);
    for (const TensorTemplate& t : module.parameters) sums.elements = add(sums.elements, element_count(t.shape, t.name));
    const ExpertShare experts = expert_share(module);
    for (const ModuleChild& child : module.children) {
      const Sums& of = below(*child.module);
      const ExpertShare share = share_of(experts, child.name);
      sums.kept.add(of.kept, child.count, share.chosen, share.of);
      sums.elements = add(sums.elements, mul(of.elements, child.count));
      // The norm of each head's queries or keys stands once for all heads.
      if (is_attention(module)) {
        const std::int64_t width = norm_width(*child.module), heads = integer_property(*module.block, "heads").value_or(1);
        if (width > 0 && mul(width, heads) <= sums.kept.attention) sums.kept.composed_norms = add(sums.kept.composed_norms, mul(width, heads - 1));
      }
    }
    return known_.emplace(&module, sums).first->second;
  }

  /// Layers in the outermost places; `times` copies of the module.
  void find_layers(const ModuleTemplate& module, std::int64_t times, TrainingShape& out, std::int64_t hidden) {
    if (layer_classes_.contains(module.class_name)) {
      const Sums& sums = below(module);
      if (sums.kept.attention + sums.kept.gated + sums.kept.plain + sums.kept.mixers > 0) {
        out.layers = add(out.layers, times);
        out.layer_inputs = add(out.layer_inputs, mul(times, hidden));
        const auto weight = [](const KeptWidths& k) { return k.composed_norms + k.attention + 2 * k.gated + k.plain + k.mixers; };
        if (weight(sums.kept) > weight(out.widest_layer)) out.widest_layer = sums.kept;
        out.largest_layer_elements = std::max(out.largest_layer_elements, sums.elements);
        return;
      }
    }
    for (const ModuleChild& child : module.children) find_layers(*child.module, mul(times, child.count), out, hidden);
  }

 private:
  static KeptWidths own(const ModuleTemplate& module) {
    KeptWidths out;
    if (const std::int64_t width = norm_width(module); width > 0) {
      const bool fused = module.layer_kind == "LayerNorm" || module.layer_kind == "GroupNorm" || module.layer_kind.starts_with("BatchNorm");
      (fused ? out.fused_norms : out.composed_norms) = width;
      return out;
    }
    if (!module.block || !module.block->error.empty()) return out;
    const Block& block = *module.block;
    if (is_attention(module)) {
      for (const char* part : {"q", "k", "v", "qkv", "q_up", "kv_up"}) out.attention = add(out.attention, out_of(module, part));
      out.attention = add(out.attention, projection_shape(member_module(module, "out")).in);
      out.heads = integer_property(block, "heads").value_or(0);
    } else if (block.kind == "moe") {
      const ModuleTemplate* experts = member_module(module, "experts");
      const TensorTemplate* stacked = experts == nullptr ? nullptr : member_tensor(*experts, "gate_up");
      const ExpertShare share = expert_share(module);
      if (stacked != nullptr && stacked->shape.size() == 3 && !share.member.empty()) {
        const TensorTemplate* down = member_tensor(*experts, "down");
        // [experts, hidden, width] or [experts, width, hidden]: the side that both tensors share is the hidden one.
        std::int64_t hidden = std::min(stacked->shape[1], stacked->shape[2]), both = std::max(stacked->shape[1], stacked->shape[2]);
        if (down != nullptr && down->shape.size() == 3) {
          const bool second = mul(2, down->shape[1]) == stacked->shape[2] && down->shape[2] == stacked->shape[1];
          hidden = second ? stacked->shape[1] : stacked->shape[2];
          both = second ? stacked->shape[2] : stacked->shape[1];
        }
        out.gated = mul(share.chosen, both / 2);
        out.dispatched = mul(2, mul(share.chosen, hidden));
      }
      out.router = share.of > 1 ? share.of : 0;
    } else {
      const std::int64_t up = out_of(module, "up"), gate = out_of(module, "gate"), fused = out_of(module, "gate_up");
      if (fused > 0) {
        out.gated = fused / 2;
      } else if (gate > 0) {
        out.gated = up;
      } else {
        out.plain = up;
      }
      for (const char* part : {"in", "in_qkvz", "in_ba"}) out.mixers = add(out.mixers, out_of(module, part));
    }
    return out;
  }

  std::set<std::string, std::less<>> layer_classes_;
  std::unordered_map<const ModuleTemplate*, Sums> known_;
};

bool is_linear(const TensorVisit& visit) {
  return !visit.is_buffer && visit.tensor.shape.size() == 2 && visit.tensor.name == "weight" &&
         (visit.module.layer_kind == "Linear" || visit.module.layer_kind == "Conv1D");
}

std::set<std::string, std::less<>> query_and_value_modules(const MetaGraph& graph) {
  std::set<std::string, std::less<>> out;
  for_each_module(graph, [&](const std::string& name, const ModuleTemplate& module) {
    if (!is_attention(module) || !module.block->error.empty()) return;
    for (const char* part : {"q", "v", "qkv", "q_up", "kv_up"}) {
      const std::string path = member_path(*module.block, part);
      if (!path.empty()) out.insert(name.empty() ? path : fmt::format("{}.{}", name, path));
    }
  });
  return out;
}

}  // namespace

void KeptWidths::add(const KeptWidths& more, std::int64_t times, std::int64_t chosen, std::int64_t of) {
  for (const auto width : {&KeptWidths::composed_norms, &KeptWidths::fused_norms, &KeptWidths::attention, &KeptWidths::heads, &KeptWidths::gated,
                           &KeptWidths::plain, &KeptWidths::mixers, &KeptWidths::dispatched, &KeptWidths::router}) {
    this->*width = bigmodel::add(this->*width, mul(more.*width, times) / of * chosen);
  }
}

TrainingShape training_shape(const MetaGraph& graph) {
  TrainingShape out;
  Reader reader(graph);
  out.all = reader.below(*graph.root).kept;
  const ActivationWidths widths = activation_widths(graph);
  out.vocabulary = widths.vocabulary;
  reader.find_layers(*graph.root, 1, out, widths.hidden);
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (visit.is_buffer) return;
    const Shape& shape = visit.tensor.shape;
    const std::int64_t count = element_count(shape, visit.name);
    const bool output = visit.module.layer_kind == "Linear" && !shape.empty() && shape[0] == out.vocabulary;
    if (output) out.output_elements = add(out.output_elements, count);
    if (!visit.tied_to.empty()) {
      out.output_is_tied = out.output_is_tied || output;
      return;
    }
    if (shape.size() >= 2) {
      out.elements.matrices = add(out.elements.matrices, count);
      const std::int64_t rows = shape[shape.size() - 2], columns = shape.back();
      const std::int64_t stack = rows > 0 && columns > 0 ? count / rows / columns : 0;
      out.elements.rows_and_columns = add(out.elements.rows_and_columns, mul(stack, add(rows, columns)));
    } else {
      out.elements.vectors = add(out.elements.vectors, count);
    }
    out.elements.largest_tensor = std::max(out.elements.largest_tensor, count);
    const bool lookup = visit.module.layer_kind == "Embedding";
    if (lookup) {
      out.lookup_elements = add(out.lookup_elements, count);
    } else if (!output && shape.size() >= 2) {
      out.elements.hidden_matrices = add(out.elements.hidden_matrices, count);
    }
    if (lookup || count < kSmallTensor) {
      out.elements.unpacked = add(out.elements.unpacked, count);
    } else {
      out.elements.blocks = add(out.elements.blocks, ceil_div(count, kStateBlock));
    }
  });
  return out;
}

AdapterShape adapter_shape(const MetaGraph& graph, const std::vector<std::string>& targets) {
  const bool all = std::ranges::find(targets, "all-linear") != targets.end();
  const auto usual = targets.empty() ? query_and_value_modules(graph) : std::set<std::string, std::less<>>{};
  const std::int64_t vocabulary = activation_widths(graph).vocabulary;
  std::set<std::string> met, seen;
  AdapterShape out;
  for_each_tensor(graph, [&](const TensorVisit& visit) {
    if (!is_linear(visit)) return;
    const std::string name = visit.name.substr(0, visit.name.size() - std::string_view(".weight").size());
    seen.insert(name.substr(name.rfind('.') + 1));
    bool wanted = usual.contains(name) || (all && visit.tensor.shape[0] != vocabulary);
    for (const std::string& target : targets) {
      if (name != target && !name.ends_with("." + target)) continue;
      wanted = true;
      met.insert(target);
    }
    if (!wanted) return;
    const ProjectionShape shape = projection_shape(&visit.module);
    ++out.modules;
    out.inputs = add(out.inputs, shape.in);
    out.outputs = add(out.outputs, shape.out);
    ++out.sides[shape.in];
    ++out.sides[shape.out];
  });
  for (const std::string& target : targets) {
    if (target == "all-linear" || met.contains(target)) continue;
    const std::vector<std::string> names(seen.begin(), seen.end());
    throw NotFoundError(fmt::format("--lora-targets: no linear layer of {} is called '{}'", graph.class_name, target), did_you_mean(target, names));
  }
  if (out.modules == 0) throw NotFoundError(fmt::format("{}: no linear layer to adapt", graph.class_name), "name layers with --lora-targets");
  return out;
}

}  // namespace bigmodel
