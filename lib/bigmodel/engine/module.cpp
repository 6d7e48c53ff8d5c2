// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/module.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

std::string joined(const std::string& prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : fmt::format("{}.{}", prefix, name);
}

void build_below(Module& module) {
  for (const ModuleChild& child : module.meta().children) {
    for (std::int64_t k = 0; k < child.count; ++k) {
      build_below(module.add_child(std::make_unique<Module>(joined(module.name(), child.name_at(k)), child.module)));
    }
  }
}

std::string_view last_part(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

}  // namespace

Module::Module(std::string name, std::shared_ptr<const ModuleTemplate> meta) : name_(std::move(name)), meta_(std::move(meta)) {
  for (const bool buffer : {false, true}) {
    for (const TensorTemplate& t : buffer ? meta_->buffers : meta_->parameters) {
      tensors_.push_back({&t, joined(name_, t.name), {t.dtype.value_or(DType::float32), t.shape, nullptr}, buffer});
    }
  }
}

Tensor Module::operator()(Arguments arguments, ForwardState& state) {
  if (hook_ == nullptr) return forward(arguments, state);
  try {
    hook_->pre_forward(*this, arguments, state);
    Tensor out = forward(arguments, state);
    hook_->post_forward(*this, out, state);
    return out;
  } catch (...) {
    hook_->abandon_forward(*this);
    throw;
  }
}

Tensor Module::forward(const Arguments& arguments, ForwardState& state) {
  if (block_ == nullptr) throw UnsupportedError(fmt::format("module '{}' ({}): nothing says what it computes", name_, meta_->class_name));
  return block_->forward(*this, arguments, state);
}

Module& Module::add_child(std::unique_ptr<Module> child) {
  children_.push_back(std::move(child));
  return *children_.back();
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

ModuleTensor* Module::find_tensor(std::string_view name) {
  for (ModuleTensor& t : tensors_) {
    if (t.meta->name == name) return &t;
  }
  return nullptr;
}

ModuleTensor* Module::read_tensor(std::string_view name) {
  ModuleTensor* found = find_tensor(name);
  if (found != nullptr) found->use = TensorUse::read;
  return found;
}

void Module::add_hook(std::unique_ptr<ModelHook> hook, bool append) {
  if (append && hook_ != nullptr) {
    hook->init_hook(*this);
    std::vector<std::unique_ptr<ModelHook>> both;
    both.push_back(std::move(hook_));
    both.push_back(std::move(hook));
    hook_ = std::make_unique<SequentialHook>(std::move(both));
    return;
  }
  remove_hook();
  hook_ = std::move(hook);
  hook_->init_hook(*this);
}

void Module::remove_hook() {
  if (hook_ == nullptr) return;
  const std::unique_ptr<ModelHook> old = std::move(hook_);
  old->detach_hook(*this);
}

void Module::for_each(const std::function<void(Module&)>& visit) {
  visit(*this);
  for (const auto& child : children_) child->for_each(visit);
}

std::unique_ptr<Module> build_module_tree(const MetaGraph& graph) {
  auto root = std::make_unique<Module>("", graph.root);
  build_below(*root);
  return root;
}

}  // namespace bigmodel
