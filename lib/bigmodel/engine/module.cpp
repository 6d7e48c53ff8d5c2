// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

std::string joined(const std::string& prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : fmt::format("{}.{}", prefix, name);
}

std::string_view last_part(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string shown_name(const Module& module) { return module.name().empty() ? "the model" : fmt::format("module '{}'", module.name()); }

}  // namespace

void ModuleTensor::set(StoredTensor tensor) {
  static_cast<StoredTensor&>(*this) = std::move(tensor);
  tie = nullptr;
  slices = nullptr;
}

/// A forward is under way.
class Module::Running {
 public:
  explicit Running(Module& module) : module_(module) { ++module_.running_; }
  ~Running() { --module_.running_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  Module& module_;
};

std::vector<ModuleTensor*> BoundBlock::matrices(Module&) const { return {}; }
std::vector<ModuleTensor*> BoundBlock::sliced(Module&) const { return {}; }
std::vector<ModuleTensor*> BoundBlock::exact_matrices(Module&) const { return {}; }

Module::Module(std::string class_name) {
  auto meta = std::make_shared<ModuleTemplate>();
  meta->class_name = std::move(class_name);
  meta_ = std::move(meta);
}

Module::Module(std::string name, std::shared_ptr<const ModuleTemplate> meta) : name_(std::move(name)), meta_(std::move(meta)) {
  for (const bool buffer : {false, true}) {
    for (const TensorTemplate& t : buffer ? meta_->buffers : meta_->parameters) {
      tensors_.push_back({meta_tensor(t.dtype.value_or(DType::float32), t.shape), &t, joined(name_, t.name), buffer, TensorUse::none, nullptr});
    }
  }
}

Module::~Module() = default;

Tensor Module::operator()(Arguments arguments, ForwardState& state) {
  const Running running(*this);
  if (hook_ == nullptr) {
    if (observer_ != nullptr) observer_->forward_begins(*this);
    return forward(arguments, state);
  }
  try {
    run_pre_forward(*hook_, *this, arguments, state);
    if (observer_ != nullptr) observer_->forward_begins(*this);
    Tensor out = forward(arguments, state);
    run_post_forward(*hook_, *this, out, state);
    return out;
  } catch (...) {
    hook_->abandon_forward(*this);
    throw;
  }
}

Tensor Module::operator()(const Tensor& input) {
  ForwardState state;
  return (*this)(Arguments{input}, state);
}

Tensor Module::forward(const Arguments& arguments, ForwardState& state) {
  if (block_ == nullptr) throw UnsupportedError(fmt::format("module '{}' ({}): nothing says what it computes", name_, meta_->class_name));
  return block_->forward(*this, arguments, state);
}

void Module::set_layer_kind(std::string kind) {
  auto meta = std::make_shared<ModuleTemplate>(*meta_);
  meta->layer_kind = std::move(kind);
  meta_ = std::move(meta);
}

Module& Module::add_child(std::unique_ptr<Module> child) {
  child->parent_ = this;
  children_.push_back(std::move(child));
  return *children_.back();
}

void Module::rename(std::string name) {
  for (ModuleTensor& t : tensors_) t.full_name = joined(name, t.meta->name);
  for (const auto& child : children_) child->rename(joined(name, last_part(child->name_)));
  name_ = std::move(name);
}

Module& Module::add_module(std::string_view name, std::unique_ptr<Module> child) {
  bool taken = find_tensor(name) != nullptr;
  for (const auto& other : children_) taken = taken || last_part(other->name_) == name;
  if (name.empty() || name.find('.') != std::string_view::npos || taken) {
    throw UsageError(fmt::format("{}: a child named '{}', expected a name without dots that is not taken", shown_name(*this), name));
  }
  child->rename(joined(name_, name));
  return add_child(std::move(child));
}

Module* Module::find(std::string_view path) {
  Module* at = this;
  while (at != nullptr && !path.empty()) {
    const std::size_t dot = path.find('.');
    const std::string_view part = path.substr(0, dot);
    path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
    Module* next = nullptr;
    for (const auto& child : at->children_) {
      if (last_part(child->name_) == part) next = child.get();
    }
    at = next;
  }
  return at;
}

Module& Module::get_submodule(std::string_view path) {
  if (Module* found = find(path)) return *found;
  throw NotFoundError(fmt::format("{}: no module '{}' in it", shown_name(*this), path));
}

ModuleTensor& Module::register_tensor(std::string_view name, TensorTemplate made, const Device& device, bool is_buffer) {
  if (name.empty() || name.find('.') != std::string_view::npos || find_tensor(name) != nullptr || find(name) != nullptr) {
    throw UsageError(fmt::format("{}: a tensor named '{}', expected a name without dots that is not taken", shown_name(*this), name));
  }
  made.name = std::string(name);
  const TensorTemplate& kept = own_templates_.emplace_back(std::move(made));
  const auto before = std::find_if(tensors_.begin(), tensors_.end(), [&](const ModuleTensor& t) { return t.is_buffer && !is_buffer; });
  return *tensors_.insert(before, {stored_tensor(*kept.dtype, kept.shape, {}, device), &kept, joined(name_, name), is_buffer, TensorUse::none, nullptr});
}

ModuleTensor& Module::register_parameter(std::string_view name, Shape shape, const TensorHome& home, DType dtype) {
  return register_tensor(name, {.shape = std::move(shape), .dtype = dtype}, *home.parameters, false);
}

ModuleTensor& Module::register_buffer(std::string_view name, Shape shape, const TensorHome& home, DType dtype, bool persistent) {
  return register_tensor(name, {.shape = std::move(shape), .dtype = dtype, .persistent = persistent}, *home.buffers, true);
}

ModuleTensor* Module::find_tensor(std::string_view name) {
  for (ModuleTensor& t : tensors_) {
    if (t.meta->name == name) return &t;
  }
  return nullptr;
}

ModuleTensor* Module::read_tensor(std::string_view name) {
  ModuleTensor* found = find_tensor(name);
  if (found == nullptr) return nullptr;
  found->use = TensorUse::read;
  ++found->readers;
  return found;
}

void Module::check_idle(std::string_view action) const {
  if (running_ > 0) throw UsageError(fmt::format("{}: {} while its forward runs", shown_name(*this), action), "wait for the pass to end");
}

void BoundBlock::set_heads(std::int64_t, std::int64_t) { throw UnsupportedError("a block without heads: there is none to take out"); }

void Module::reshape(ModuleTensor& tensor, StoredTensor value) {
  const auto give = [&](Module& owner, ModuleTensor& t) {
    TensorTemplate made = *t.meta;
    made.shape = value.view.shape;
    t.meta = &owner.own_templates_.emplace_back(std::move(made));
    static_cast<StoredTensor&>(t) = value;
  };
  const std::shared_ptr<const char> token = tensor.tie;
  give(*this, tensor);
  if (token == nullptr) return;
  root().for_each([&](Module& m) {
    for (ModuleTensor& other : m.tensors_) {
      if (&other != &tensor && other.tie == token) give(m, other);
    }
  });
}

void Module::set_role_property(std::string_view property, spec::Value value) {
  BIGMODEL_ASSERT(meta_->block.has_value());
  auto made = std::make_shared<ModuleTemplate>(*meta_);
  auto& properties = made->block->properties;
  const auto found = std::ranges::find(properties, property, [](const auto& p) { return std::string_view(p.first); });
  if (found == properties.end()) {
    properties.emplace_back(property, std::move(value));
  } else {
    found->second = std::move(value);
  }
  former_metas_.push_back(std::exchange(meta_, std::move(made)));
}

void Module::add_hook(std::shared_ptr<ModelHook> hook, bool append) {
  check_idle("a hook is added");
  if (!append || hook_ == nullptr) {
    run_init_hook(*hook, *this);
    hook_ = std::move(hook);
    return;
  }
  const std::shared_ptr<ModelHook> old = hook_;
  const bool dispatched = dispatched_;
  remove_hook();
  auto both = std::make_shared<SequentialHook>(std::vector{old, std::move(hook)});
  try {
    run_init_hook(*both, *this);
  } catch (...) {
    // As it was: with the hook that there was, on a model that is still dispatched.
    run_init_hook(*old, *this);
    hook_ = old;
    dispatched_ = dispatched;
    throw;
  }
  hook_ = std::move(both);
}

void Module::remove_hook() {
  check_idle("a hook is removed");
  dispatched_ = false;
  if (hook_ == nullptr) return;
  run_detach_hook(*hook_, *this);
  hook_ = nullptr;
}

void Module::set_observer(HookObserver* observer) {
  for_each([&](Module& m) { m.observer_ = observer; });
}

Module& Module::root() {
  Module* at = this;
  while (at->parent_ != nullptr) at = at->parent_;
  return *at;
}

void replace_parameter(Module& root, ModuleTensor& tensor, const StoredTensor& by) {
  const std::shared_ptr<const char> token = tensor.tie;
  static_cast<StoredTensor&>(tensor) = by;
  if (token == nullptr) return;
  root.for_each([&](Module& m) {
    for (ModuleTensor& other : m.tensors()) {
      if (other.tie == token) static_cast<StoredTensor&>(other) = by;
    }
  });
}

void Module::to(const Device& device, std::vector<std::string>* messages) {
  if (observer_ != nullptr) observer_->moved(*this, device);
  if (dispatched_ && messages != nullptr) messages->emplace_back("You shouldn't move a model that is dispatched using accelerate hooks.");
  for_each([&](Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (!t.is_meta()) continue;
      if (dispatched_) {
        throw UsageError("You can't move a model that has some modules offloaded to cpu or disk", "remove its hooks first (remove_hook_from_submodules)");
      }
      throw UsageError(fmt::format("{}: cannot be moved to {}: '{}' is on meta, there is no data to copy", shown_name(*this), device.name(), t.full_name),
                       "load a checkpoint first (load_checkpoint_and_dispatch)");
    }
  });
  Module& top = root();
  for_each([&](Module& m) {
    for (ModuleTensor& t : m.tensors()) {
      if (t.device != &device) replace_parameter(top, t, moved(t, device));
    }
  });
}

void Module::to(DType dtype) {
  Module& top = root();
  for_each([&](Module& m) {
    for (ModuleTensor& t : m.tensors()) {
      if (is_floating_point(t.view.dtype) && t.view.dtype != dtype) replace_parameter(top, t, cast(t, dtype));
    }
  });
}

void Module::for_each(const std::function<void(Module&)>& visit) {
  visit(*this);
  for (const auto& child : children_) child->for_each(visit);
}

void Module::for_each(const std::function<void(const Module&)>& visit) const {
  visit(*this);
  for (const auto& child : children_) std::as_const(*child).for_each(visit);
}

namespace {

void build_below(Module& module, const ModuleMaker& make) {
  for (const ModuleChild& child : module.meta().children) {
    for (std::int64_t k = 0; k < child.count; ++k) {
      std::string name = joined(module.name(), child.name_at(k));
      std::unique_ptr<Module> made = make ? make(name, child.module) : nullptr;
      if (made == nullptr) made = std::make_unique<Module>(std::move(name), child.module);
      build_below(module.add_child(std::move(made)), make);
    }
  }
}

std::shared_ptr<const ModuleTemplate> template_of(const Module& module) {
  auto out = std::make_shared<ModuleTemplate>();
  out->class_name = module.class_name();
  out->layer_kind = module.layer_kind();
  out->block = module.meta().block;
  for (const ModuleTensor& t : module.tensors()) {
    TensorTemplate made = *t.meta;
    made.shape = t.view.shape;
    made.dtype = t.view.dtype;
    (t.is_buffer ? out->buffers : out->parameters).push_back(std::move(made));
  }
  for (const auto& child : module.children()) {
    out->children.push_back({.name = std::string(last_part(child->name())), .module = template_of(*child)});
    out->module_count += out->children.back().module->module_count;
  }
  return out;
}

}  // namespace

std::unique_ptr<Module> build_module_tree(const MetaGraph& graph, const ModuleMaker& make) {
  std::unique_ptr<Module> root = make ? make("", graph.root) : nullptr;
  if (root == nullptr) root = std::make_unique<Module>("", graph.root);
  build_below(*root, make);
  for (const auto& group : graph.tied) tie(*root, group);
  return root;
}

MetaGraph graph_of(const Module& root) {
  MetaGraph out;
  out.class_name = root.class_name();
  out.root = template_of(root);
  std::unordered_map<const char*, std::size_t> groups;
  std::vector<std::vector<std::string>> found;
  root.for_each([&](const Module& m) {
    for (const ModuleTensor& t : m.tensors()) {
      if (t.tie == nullptr || t.is_buffer) continue;
      const auto [it, is_new] = groups.emplace(t.tie.get(), found.size());
      if (is_new) found.emplace_back();
      found[it->second].push_back(t.full_name);
    }
  });
  for (auto& names : found) {
    if (names.size() < 2) continue;
    out.tie_sources.push_back(names.front());
    out.tied.push_back(std::move(names));
  }
  return out;
}

ModuleTensor* find_tensor(Module& root, std::string_view full_name) {
  const std::size_t dot = full_name.rfind('.');
  Module* owner = root.find(dot == std::string_view::npos ? std::string_view{} : full_name.substr(0, dot));
  return owner == nullptr ? nullptr : owner->find_tensor(last_part(full_name));
}

void tie(Module& root, const std::vector<std::string>& names) {
  ModuleTensor* first = nullptr;
  for (const std::string& name : names) {
    ModuleTensor* t = find_tensor(root, name);
    if (t == nullptr) throw NotFoundError(fmt::format("{}: no parameter '{}' to tie", shown_name(root), name));
    if (first == nullptr) {
      first = t;
      if (t->tie == nullptr) t->tie = std::make_shared<const char>();
      continue;
    }
    if (t->view.shape != first->view.shape) {
      throw UsageError(fmt::format("parameter '{}': cannot be tied to '{}', expected shape {}, got {}", name, first->full_name,
                                   to_string(first->view.shape), to_string(t->view.shape)));
    }
    static_cast<StoredTensor&>(*t) = *first;
    t->tie = first->tie;
  }
}

}  // namespace bigmodel
