// SPDX-License-Identifier: Apache-2.0
// Reference: transformers 4, PreTrainedModel.prune_heads and find_pruneable_heads_and_indices; transformers 5 has neither.
#include "bigmodel/model/prune_heads.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel {
namespace {

using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;
using TemplatePtr = std::shared_ptr<const ModuleTemplate>;

std::string joined(std::string_view prefix, std::string_view name) { return prefix.empty() ? std::string(name) : name.empty() ? std::string(prefix) : fmt::format("{}.{}", prefix, name); }

std::pair<std::string_view, std::string_view> split_first(std::string_view path) {
  const std::size_t dot = path.find('.');
  return dot == std::string_view::npos ? std::pair(path, std::string_view{}) : std::pair(path.substr(0, dot), path.substr(dot + 1));
}

/// The tree with another module at `path`; everything beside the way there is shared.
TemplatePtr replaced(const TemplatePtr& module, std::string_view path, const std::function<TemplatePtr(const TemplatePtr&)>& change) {
  if (path.empty()) return change(module);
  const auto [part, rest] = split_first(path);
  for (std::size_t c = 0; c < module->children.size(); ++c) {
    const ModuleChild& child = module->children[c];
    for (std::int64_t k = 0; k < child.count; ++k) {
      if (child.name_at(k) != part) continue;
      const auto run = [&](std::int64_t first, std::int64_t count) {
        return ModuleChild{.name = child.name_at(first), .first_index = child.first_index + first, .count = count, .module = child.module};
      };
      std::vector<ModuleChild> pieces;
      if (k > 0) pieces.push_back(run(0, k));
      pieces.push_back(run(k, 1));
      pieces.back().module = replaced(child.module, rest, change);
      if (k + 1 < child.count) pieces.push_back(run(k + 1, child.count - k - 1));
      auto out = std::make_shared<ModuleTemplate>(*module);
      out->children.erase(out->children.begin() + static_cast<std::ptrdiff_t>(c));
      out->children.insert(out->children.begin() + static_cast<std::ptrdiff_t>(c), pieces.begin(), pieces.end());
      return out;
    }
  }
  throw InternalError(fmt::format("no module at '{}'", path));
}

/// Modules below (the module itself included) whose block is self-attention.
void find_attentions(const ModuleTemplate& module, const std::string& path, std::vector<std::pair<std::string, const ModuleTemplate*>>& out) {
  if (module.block && module.block->kind == "attention" && !flag_property(*module.block, "cross")) out.emplace_back(path, &module);
  for (const ModuleChild& child : module.children) {
    for (std::int64_t k = 0; k < child.count; ++k) find_attentions(*child.module, joined(path, child.name_at(k)), out);
  }
}

/// What an attention may say besides its projections and counts without that a head's number matters.
bool is_same_for_all_heads(std::string_view property) {
  static constexpr std::array<std::string_view, 18> kKnown = {"q", "k", "v", "qkv", "out", "heads", "kv_heads", "head_dim", "scale", "scale_by_layer", "causal",
                                                              "cross", "window", "window_ahead", "chunk", "soft_cap", "clip", "spread_when_blind"};
  return std::ranges::find(kKnown, property) != kKnown.end() || property.starts_with("rope") || property.starts_with("cache") || property == "norm_after_rope" ||
         property == "encoder_tokens" || property == "layout" || property == "output_gate" || property == "q_norm" || property == "k_norm" || property == "sinks";
}

/// One attention module: its heads, and what of its tensors belongs to which.
class AttentionHeads {
 public:
  AttentionHeads(std::string name, const ModuleTemplate& module) : name_(std::move(name)), module_(module), block_(*module.block) {
    if (!block_.error.empty()) refuse(block_.error);
    for (const auto& [property, value] : block_.properties) {
      const bool* const flag = value.if_bool();
      if (value.is_null() || (flag != nullptr && !*flag) || is_same_for_all_heads(property)) continue;
      refuse(fmt::format("its {} may differ by head", property));
    }
    heads_ = integer_property(block_, "heads").value_or(0);
    kv_heads_ = integer_property(block_, "kv_heads").value_or(heads_);
    head_dim_ = integer_property(block_, "head_dim").value_or(0);
    if (heads_ < 1 || kv_heads_ < 1 || head_dim_ < 1 || heads_ % kv_heads_ != 0) refuse(fmt::format("{} heads of {} over {} key heads", heads_, head_dim_, kv_heads_));
  }

  std::int64_t heads() const { return heads_; }

  /// `gone`: heads as they are numbered now.
  void cut(const std::set<std::int64_t>& gone, PrunedGraph& out) {
    if (static_cast<std::int64_t>(gone.size()) >= heads_) throw UsageError(fmt::format("{}: would have no head left", name_), "leave at least one head in every layer");
    const std::int64_t each = heads_ / kv_heads_;
    std::vector<std::int64_t> groups, kept;
    for (std::int64_t g = 0; g < kv_heads_; ++g) {
      std::int64_t lost = 0;
      for (std::int64_t h = g * each; h < (g + 1) * each; ++h) {
        if (gone.contains(h)) {
          ++lost;
        } else {
          kept.push_back(h);
        }
      }
      if (lost != 0 && lost != each) {
        refuse(fmt::format("heads {} to {} share one key and value head: they go together or stay", g * each, (g + 1) * each - 1));
      }
      if (lost == 0) groups.push_back(g);
    }
    const std::string layout = text_property(block_, "layout").value_or("");
    if (!layout.empty() && layout != "transposed" && layout != "multi_query" && layout != "per_head" && layout != "grouped") refuse(fmt::format("layout '{}'", layout));
    if (member_module(module_, "qkv") != nullptr) {
      if (layout == "per_head" || layout == "grouped") {
        // One unit is a key head with its queries, its key and its value.
        project("qkv", ranges(groups, (each + 2) * head_dim_, 0), (heads_ + 2 * kv_heads_) * head_dim_, true, out);
      } else {
        Ranges rows = ranges(kept, head_dim_, 0);
        for (const std::int64_t at : {heads_, heads_ + kv_heads_}) append(rows, ranges(groups, head_dim_, at * head_dim_));
        project("qkv", rows, (heads_ + 2 * kv_heads_) * head_dim_, true, out);
      }
    } else {
      const std::int64_t unit = text_property(block_, "output_gate") ? 2 * head_dim_ : head_dim_;
      project("q", ranges(kept, unit, 0), heads_ * unit, true, out);
      project("k", ranges(groups, head_dim_, 0), kv_heads_ * head_dim_, true, out);
      project("v", ranges(groups, head_dim_, 0), kv_heads_ * head_dim_, true, out);
    }
    project("out", ranges(kept, head_dim_, 0), heads_ * head_dim_, false, out);
    for (const char* norm : {"q_norm", "k_norm"}) check_norm(norm);
    if (find_property(block_, "sinks") != nullptr) {
      const TensorTemplate* sinks = member_tensor(module_, "sinks");
      if (sinks == nullptr || sinks->shape != Shape{heads_}) refuse("its sinks are not one a head");
      out.cuts.push_back({joined(name_, member_path(block_, "sinks")), 0, ranges(kept, 1, 0)});
    }
    out.attentions.push_back({name_, static_cast<std::int64_t>(kept.size()), static_cast<std::int64_t>(groups.size())});
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const { throw UnsupportedError(fmt::format("{} ({}): heads cannot be taken out: {}", name_, module_.class_name, why)); }

  static void append(Ranges& to, const Ranges& more) {
    for (const auto& range : more) {
      if (!to.empty() && to.back().second == range.first) {
        to.back().second = range.second;
      } else {
        to.push_back(range);
      }
    }
  }
  static Ranges ranges(const std::vector<std::int64_t>& units, std::int64_t size, std::int64_t from) {
    Ranges out;
    for (const std::int64_t u : units) append(out, {{from + u * size, from + (u + 1) * size}});
    return out;
  }

  /// Of a projection: along what it gives (and its bias), or along what it takes.
  void project(const char* property, const Ranges& kept, std::int64_t width, bool gives, PrunedGraph& out) const {
    const ModuleTemplate* module = member_module(module_, property);
    const TensorTemplate* weight = module == nullptr ? nullptr : find_parameter(*module, "weight");
    if (weight == nullptr || weight->shape.size() != 2) refuse(fmt::format("its {} is no matrix", property));
    const bool transposed = module->layer_kind == "Conv1D" || text_property(block_, "layout").value_or("") == "transposed";
    const std::size_t axis = gives == transposed ? 1 : 0;
    if (weight->shape[axis] != width) refuse(fmt::format("its {} has {} values for its heads, expected {}", property, weight->shape[axis], width));
    const std::string path = joined(name_, member_path(block_, property));
    out.cuts.push_back({path + ".weight", axis, kept});
    for (const TensorTemplate& t : module->parameters) {
      if (t.name == "weight") continue;
      if (t.name != "bias" || t.shape.size() != 1) refuse(fmt::format("its {} has a {}", property, t.name));
      if (gives) out.cuts.push_back({path + ".bias", 0, kept});
    }
  }

  /// A norm of each head is the same for all; one over all of them is not.
  void check_norm(const char* property) const {
    const ModuleTemplate* norm = member_module(module_, property);
    if (norm == nullptr) return;
    for (const TensorTemplate& t : norm->parameters) {
      if (t.shape != Shape{head_dim_}) refuse(fmt::format("its {} runs over all heads", property));
    }
  }

  std::string name_;
  const ModuleTemplate& module_;
  const Block& block_;
  std::int64_t heads_ = 0, kv_heads_ = 0, head_dim_ = 0;
};

/// The list of the one stack of layers that the model has.
std::string find_layers(const MetaGraph& graph) {
  std::vector<std::string> found;
  for_each_module(graph, [&](const std::string& name, const ModuleTemplate& module) {
    if (!module.block || member_module(module, "layers") == nullptr) return;
    found.push_back(joined(name, member_path(*module.block, "layers")));
  });
  if (found.empty()) throw UnsupportedError(fmt::format("{}: heads cannot be taken out: its description names no layers", graph.class_name));
  if (found.size() > 1) {
    throw UnsupportedError(fmt::format("{}: heads cannot be taken out: it has {} stacks of layers ({}, {})", graph.class_name, found.size(), found[0], found[1]), "only models of one stack number their heads");
  }
  return found.front();
}

std::int64_t whole_number(std::string_view text, std::string_view all) {
  std::int64_t out = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || out < 0) {
    throw UsageError(fmt::format("heads '{}': '{}' is no number of a layer or head", all.substr(0, 60), text.substr(0, 30)), "write LAYER:HEAD,HEAD;LAYER:HEAD, such as 0:1,3;5:0");
  }
  return out;
}

}  // namespace

HeadsByLayer parse_heads(std::string_view text) {
  HeadsByLayer out;
  std::string_view rest = text;
  while (true) {
    const std::size_t end = rest.find(';');
    const std::string_view entry = rest.substr(0, end);
    const std::size_t colon = entry.find(':');
    std::set<std::int64_t>& heads = out[whole_number(entry.substr(0, colon), text)];
    std::string_view list = colon == std::string_view::npos ? std::string_view{} : entry.substr(colon + 1);
    while (true) {
      const std::size_t comma = list.find(',');
      heads.insert(whole_number(list.substr(0, comma), text));
      if (comma == std::string_view::npos) break;
      list = list.substr(comma + 1);
    }
    if (end == std::string_view::npos) return out;
    rest = rest.substr(end + 1);
  }
}

HeadsByLayer pruned_heads(const spec::Map& config, std::string_view where) {
  HeadsByLayer out;
  const spec::Value* stated = spec::find(config, "pruned_heads");
  if (stated == nullptr || !stated->truthy()) return out;
  const auto fail = [&](std::string_view got) { throw FormatError(fmt::format("{}: pruned_heads: expected an object of layer: [heads], got {}", where, got)); };
  if (stated->if_map() == nullptr) fail(stated->describe());
  for (const auto& [layer, heads] : *stated->if_map()) {
    std::int64_t number = -1;
    const auto [end, error] = std::from_chars(layer.data(), layer.data() + layer.size(), number);
    if (error != std::errc{} || end != layer.data() + layer.size() || number < 0) fail(fmt::format("layer '{}'", layer.substr(0, 30)));
    if (heads.if_list() == nullptr) fail(heads.describe());
    for (const spec::Value& head : *heads.if_list()) {
      if (head.if_int() == nullptr || *head.if_int() < 0) fail(head.describe());
      out[number].insert(*head.if_int());
    }
  }
  return out;
}

PrunedGraph prune_heads(const MetaGraph& graph, const HeadsByLayer& heads, const HeadsByLayer& already) {
  PrunedGraph out;
  out.graph = graph;
  if (heads.empty()) return out;
  const std::string list = find_layers(graph);
  std::vector<std::pair<std::string, const ModuleTemplate*>> layers;
  const ModuleTemplate& list_module = *find_module(graph, list);
  for (const ModuleChild& child : list_module.children) {
    for (std::int64_t k = 0; k < child.count; ++k) layers.emplace_back(joined(list, child.name_at(k)), child.module.get());
  }
  for (const auto& [layer, numbers] : heads) {
    if (layer >= static_cast<std::int64_t>(layers.size())) {
      throw UsageError(fmt::format("{}: there is no layer {}, expected 0 to {}", graph.class_name, layer, static_cast<std::int64_t>(layers.size()) - 1));
    }
    const auto& [name, module] = layers[static_cast<std::size_t>(layer)];
    std::vector<std::pair<std::string, const ModuleTemplate*>> found;
    find_attentions(*module, name, found);
    if (found.size() != 1) {
      throw UnsupportedError(fmt::format("{} ({}): heads cannot be taken out: it has {} attentions whose heads are described, expected one", name, module->class_name, found.size()));
    }
    const auto before = already.find(layer);
    const std::set<std::int64_t> none;
    const std::set<std::int64_t>& lost = before == already.end() ? none : before->second;
    AttentionHeads attention(found.front().first, *found.front().second);
    const std::int64_t original = attention.heads() + static_cast<std::int64_t>(lost.size());
    std::set<std::int64_t> gone;
    for (const std::int64_t h : numbers) {
      if (h >= original) throw UsageError(fmt::format("layer {}: there is no head {}, expected 0 to {}", layer, h, original - 1));
      if (!lost.contains(h)) gone.insert(h - std::distance(lost.begin(), lost.lower_bound(h)));
    }
    if (!gone.empty()) attention.cut(gone, out);
  }
  const auto tied = tied_names(graph);
  for (const HeadCut& cut : out.cuts) {
    const bool is_tied = tied.contains(cut.name) || std::ranges::any_of(tied, [&](const auto& pair) { return pair.second == cut.name; });
    if (is_tied) throw UnsupportedError(fmt::format("{}: heads cannot be taken out: it is tied to another tensor", cut.name));
    const std::size_t dot = cut.name.rfind('.');
    out.graph.root = replaced(out.graph.root, std::string_view(cut.name).substr(0, dot), [&](const TemplatePtr& module) {
      auto made = std::make_shared<ModuleTemplate>(*module);
      for (TensorTemplate& t : made->parameters) {
        if (t.name != cut.name.substr(dot + 1)) continue;
        t.shape[cut.axis] = 0;
        for (const auto& [begin, end] : cut.kept) t.shape[cut.axis] += end - begin;
      }
      return made;
    });
  }
  for (const PrunedAttention& attention : out.attentions) {
    out.graph.root = replaced(out.graph.root, attention.name, [&](const TemplatePtr& module) {
      auto made = std::make_shared<ModuleTemplate>(*module);
      for (auto& [property, value] : made->block->properties) {
        if (property == "heads") value = attention.heads;
        if (property == "kv_heads" && !value.is_null()) value = attention.kv_heads;
      }
      return made;
    });
  }
  return out;
}

}  // namespace bigmodel
