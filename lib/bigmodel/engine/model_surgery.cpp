// SPDX-License-Identifier: Apache-2.0
// Reference: transformers 5, EmbeddingAccessMixin and resize_token_embeddings; transformers 4, prune_heads.
#include "bigmodel/engine/model_surgery.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/prune_checkpoint.h"
#include "bigmodel/model/block_facts.h"

namespace bigmodel {

/// What surgery may do to a LoadedModel.
class Surgeon {
 public:
  static Config config_of(const LoadedModel& model) {
    if (model.config_text_.empty()) {
      throw UsageError(fmt::format("{}: was loaded without its config, which surgery changes", model.graph_.class_name), "load it with from_pretrained or from_config");
    }
    return parse_config(model.config_text_, "config.json");
  }
  static void finish(LoadedModel& model, MetaGraph graph, CheckpointEdit files) {
    model.graph_ = std::move(graph);
    model.config_text_ = files.config_text;
    // Several of one kind are made side by side when the model is saved.
    files.purpose += std::to_string(model.edits_.size() + 1);
    model.edits_.push_back(std::move(files));
  }
};

namespace {

Module* first_embedding(Module& module) {
  if (module.layer_kind() == "Embedding") return &module;
  for (const auto& child : module.children()) {
    if (Module* found = first_embedding(*child)) return found;
  }
  return nullptr;
}

Module* by_role(Module& module) {
  if (!module.meta().block) return module.layer_kind() == "Embedding" || module.find_tensor("weight") != nullptr ? &module : nullptr;
  for (const char* property : {"body", "text", "words", "embed", "embeddings", "decoder"}) {
    const std::string path = member_path(*module.meta().block, property);
    Module* member = path.empty() ? nullptr : module.find(path);
    if (Module* found = member == nullptr ? nullptr : by_role(*member)) return found;
  }
  return nullptr;
}

Module* last_step(Module& module) {
  const spec::Value* steps = find_property(*module.meta().block, "steps");
  if (steps == nullptr || steps->if_list() == nullptr) return nullptr;
  Module* last = nullptr;
  for (const spec::Value& step : *steps->if_list()) {
    if (step.if_member() != nullptr) last = module.find(step.if_member()->path);
  }
  return last;
}

ModuleTensor& weight_of(Module& module) {
  ModuleTensor* weight = module.find_tensor("weight");
  if (weight == nullptr || weight->view.shape.size() != 2) throw NotFoundError(fmt::format("module '{}' ({}): has no matrix of embeddings", module.name(), module.class_name()));
  return *weight;
}

/// What a tensor becomes, made before anything is changed.
struct Change {
  Module* owner;
  ModuleTensor* tensor;
  StoredTensor value;
};

/// `unread`: what lies on meta and no block reads gets another shape alone.
void add_change(Module& root, const TensorEdit& edit, bool unread, std::vector<Change>& out) {
  const std::size_t dot = edit.name.rfind('.');
  Module* owner = root.find(dot == std::string::npos ? std::string_view{} : std::string_view(edit.name).substr(0, dot));
  ModuleTensor* tensor = owner == nullptr ? nullptr : owner->find_tensor(std::string_view(edit.name).substr(dot == std::string::npos ? 0 : dot + 1));
  if (tensor == nullptr) throw NotFoundError(fmt::format("{}: no tensor '{}'", root.class_name(), edit.name));
  for (const Change& other : out) {
    if (other.tensor == tensor || other.tensor->is_same_parameter(*tensor)) return;
  }
  if (tensor->is_meta()) {
    if (unread && tensor->view.shape == edit.from && tensor->use != TensorUse::read) {
      out.push_back({owner, tensor, meta_tensor(tensor->view.dtype, edit.to)});
      return;
    }
    throw UsageError(fmt::format("'{}': sleeps, so that its shape cannot be changed", edit.name), "load the model into RAM (device_map cpu), or change its files (bigmodel edit)");
  }
  if (tensor->view.shape != edit.from) throw FormatError(fmt::format("'{}': has shape {}, expected {}", edit.name, to_string(tensor->view.shape), to_string(edit.from)));
  const std::vector<std::byte> bytes = edited_elements(edit, tensor->view.dtype, bytes_of(*tensor));
  out.push_back({owner, tensor, stored_tensor(tensor->view.dtype, edit.to, bytes, *tensor->device)});
}

void apply(std::vector<Change> changes) {
  for (const Change& c : changes) c.owner->check_idle("its tensors are changed");
  for (Change& c : changes) c.owner->reshape(*c.tensor, std::move(c.value));
}

std::int64_t rounded(std::int64_t size, std::int64_t multiple) {
  if (size < 1) throw UsageError(fmt::format("a vocabulary of {} tokens, expected 1 or more", size));
  if (multiple < 0) throw UsageError(fmt::format("pad to a multiple of {}, expected 1 or more", multiple));
  return multiple == 0 ? size : checked_mul((size - 1) / multiple + 1, multiple, "the vocabulary");
}

std::string relative(const Module& root, const ModuleTensor& tensor) {
  return root.name().empty() ? tensor.full_name : tensor.full_name.substr(root.name().size() + 1);
}

/// The pruning of a tree whose graph is known.
void prune_tree(Module& root, const MetaGraph& before, const PrunedGraph& pruned) {
  std::vector<Change> changes;
  for (const HeadCut& cut : pruned.cuts) {
    const std::size_t dot = cut.name.rfind('.');
    const ModuleTemplate* owner = find_module(before, std::string_view(cut.name).substr(0, dot));
    const TensorTemplate* tensor = find_parameter(*owner, cut.name.substr(dot + 1));
    TensorEdit edit{.name = cut.name, .from = tensor->shape, .to = tensor->shape, .axis = cut.axis, .kept = cut.kept};
    edit.to[cut.axis] = 0;
    for (const auto& [begin, end] : cut.kept) edit.to[cut.axis] += end - begin;
    add_change(root, edit, false, changes);
  }
  for (const PrunedAttention& attention : pruned.attentions) root.get_submodule(attention.name).check_idle("its heads are taken out");
  apply(std::move(changes));
  for (const PrunedAttention& attention : pruned.attentions) {
    Module& module = root.get_submodule(attention.name);
    if (module.block() != nullptr) module.block()->set_heads(attention.heads, attention.kv_heads);
    module.set_role_property("heads", attention.heads);
    if (find_property(*module.meta().block, "kv_heads") != nullptr) module.set_role_property("kv_heads", attention.kv_heads);
  }
}

}  // namespace

Module& get_input_embeddings(Module& model) {
  Module* found = model.meta().block ? by_role(model) : nullptr;
  if (found == nullptr) found = first_embedding(model);
  if (found == nullptr) throw NotFoundError(fmt::format("{}: has no input embeddings", model.class_name()));
  return *found;
}

Module* get_output_embeddings(Module& model) {
  Module* found = nullptr;
  if (model.meta().block) {
    const std::string head = member_path(*model.meta().block, "head");
    found = head.empty() ? last_step(model) : model.find(head);
  } else {
    found = model.find("lm_head");
  }
  const ModuleTensor* weight = found == nullptr ? nullptr : found->find_tensor("weight");
  if (weight == nullptr || weight->view.shape.size() != 2) return nullptr;
  return weight->view.shape.front() == weight_of(get_input_embeddings(model)).view.shape.front() ? found : nullptr;
}

namespace {

void set_embeddings(Module& owner, StoredTensor weight) {
  ModuleTensor& old = weight_of(owner);
  if (weight.view.shape.size() != 2 || weight.view.shape[1] != old.view.shape[1]) {
    throw UsageError(fmt::format("'{}': embeddings of shape {}, expected [tokens, {}]", old.full_name, to_string(weight.view.shape), old.view.shape[1]));
  }
  owner.check_idle("its embeddings are replaced");
  old.tie = nullptr;
  owner.reshape(old, std::move(weight));
}

}  // namespace

void set_input_embeddings(Module& model, StoredTensor weight) { set_embeddings(get_input_embeddings(model), std::move(weight)); }

void set_output_embeddings(Module& model, StoredTensor weight) {
  Module* head = get_output_embeddings(model);
  if (head == nullptr) throw NotFoundError(fmt::format("{}: has no output embeddings", model.class_name()));
  set_embeddings(*head, std::move(weight));
}

void tie_weights(Module& model, const MetaGraph& graph) {
  for (std::size_t i = 0; i < graph.tied.size(); ++i) {
    std::vector<std::string> names{i < graph.tie_sources.size() ? graph.tie_sources[i] : graph.tied[i].front()};
    for (const std::string& name : graph.tied[i]) {
      if (name != names.front()) names.push_back(name);
    }
    bigmodel::tie(model, names);   // std::tie would take anything
  }
}

void tie_weights(LoadedModel& model) { tie_weights(model.root(), model.graph()); }

Module& resize_token_embeddings(Module& model, const ResizeTokenEmbeddings& wanted) {
  Module& input = get_input_embeddings(model);
  ModuleTensor& table = weight_of(input);
  const std::int64_t old = table.view.shape.front();
  const std::int64_t size = rounded(wanted.new_num_tokens.value_or(old), wanted.pad_to_multiple_of);
  if (size == old) return input;
  std::vector<Change> changes;
  const auto resize = [&](const ModuleTensor& tensor) {
    TensorEdit edit{.name = relative(model, tensor), .from = tensor.view.shape, .to = tensor.view.shape, .kept = {{0, std::min(old, size)}}, .mean = wanted.mean_resizing};
    edit.to.front() = size;
    add_change(model, edit, false, changes);
  };
  resize(table);
  if (Module* output = get_output_embeddings(model)) {
    resize(weight_of(*output));
    if (const ModuleTensor* bias = output->find_tensor("bias"); bias != nullptr && bias->view.shape == Shape{old}) resize(*bias);
  }
  apply(std::move(changes));
  return input;
}

Module& resize_token_embeddings(LoadedModel& model, spec::SpecLibrary& library, const ResizeTokenEmbeddings& wanted) {
  Module& input = get_input_embeddings(model.root());
  const std::int64_t old = weight_of(input).view.shape.front();
  const std::int64_t size = rounded(wanted.new_num_tokens.value_or(old), wanted.pad_to_multiple_of);
  if (size == old) return input;
  VocabularyEdit plan = plan_vocabulary(library, Surgeon::config_of(model), {.size = size, .mean_resizing = wanted.mean_resizing}, model.graph().class_name);
  std::vector<Change> changes;
  for (const TensorEdit& edit : plan.memory) add_change(model.root(), edit, true, changes);
  apply(std::move(changes));
  Surgeon::finish(model, std::move(plan.graph), std::move(plan.files));
  return input;
}

void prune_heads(Module& model, const HeadsByLayer& heads, const HeadsByLayer& already) {
  const MetaGraph before = graph_of(model);
  prune_tree(model, before, prune_heads(before, heads, already));
}

void prune_heads(LoadedModel& model, spec::SpecLibrary& library, const HeadsByLayer& heads) {
  HeadsEdit plan = plan_pruning(library, Surgeon::config_of(model), model.weights().checkpoint(), heads, model.graph().class_name);
  prune_tree(model.root(), model.graph(), plan.pruned);
  Surgeon::finish(model, std::move(plan.pruned.graph), std::move(plan.files));
}

}  // namespace bigmodel
