// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/roles.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"

namespace bigmodel {

Roles::Roles(Module& module, Binder& binder) : module_(module), binder_(binder), declared_(*module.meta().block) {
  if (!declared_.error.empty()) {
    throw UnsupportedError(fmt::format("module '{}' ({}): its role cannot be computed: {}", module.name(), module.meta().class_name, declared_.error));
  }
  if (const spec::Value* gap = find("incomplete")) refuse("incomplete", gap->text());
  if (const spec::Value* list = find("unread")) leave_unread(*list);
}

void Roles::leave_unread(const spec::Value& list) {
  if (list.if_list() == nullptr) refuse("unread", "expected a list of members");
  for (const spec::Value& item : *list.if_list()) {
    if (item.is_null()) continue;
    const spec::MemberRef* member = item.if_member();
    if (member == nullptr) refuse("unread", fmt::format("expected a member, got {}", item.describe()));
    if (Module* below = module_.find(member->path)) {
      below->for_each([](Module& m) {
        for (ModuleTensor& t : m.tensors()) t.use = TensorUse::replaced;
      });
    } else if (ModuleTensor* own = module_.find_tensor(member->path)) {
      own->use = TensorUse::replaced;
    }
  }
}

const spec::Value* Roles::find(std::string_view name) {
  read_.emplace(name);
  for (const auto& [key, value] : declared_.properties) {
    if (key == name) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

void Roles::refuse(std::string_view property, std::string_view what) const {
  const std::string where = module_.name().empty() ? std::string("the model") : fmt::format("module '{}'", module_.name());
  throw UnsupportedError(fmt::format("{} ({}): cannot be run: {} '{}': {}", where, module_.meta().class_name, declared_.kind, property, what));
}

std::int64_t Roles::integer(std::string_view name) {
  const spec::Value* v = find(name);
  if (v == nullptr) refuse(name, "is missing");
  if (const std::int64_t* i = v->if_int()) return *i;
  if (const double* d = v->if_double(); d != nullptr && *d == static_cast<double>(static_cast<std::int64_t>(*d))) return static_cast<std::int64_t>(*d);
  refuse(name, fmt::format("expected an integer, got {}", v->describe()));
}
std::int64_t Roles::integer(std::string_view name, std::int64_t fallback) { return has(name) ? integer(name) : fallback; }

float Roles::number(std::string_view name) {
  const spec::Value* v = find(name);
  if (v == nullptr) refuse(name, "is missing");
  if (const std::int64_t* i = v->if_int()) return static_cast<float>(*i);
  if (const double* d = v->if_double()) return static_cast<float>(*d);
  refuse(name, fmt::format("expected a number, got {}", v->describe()));
}
float Roles::number(std::string_view name, float fallback) { return has(name) ? number(name) : fallback; }

bool Roles::boolean(std::string_view name, bool fallback) {
  const spec::Value* v = find(name);
  return v == nullptr ? fallback : v->truthy();
}

std::string Roles::text(std::string_view name, std::string fallback) {
  const spec::Value* v = find(name);
  if (v == nullptr) return fallback;
  if (const std::string* s = v->if_string()) return *s;
  refuse(name, fmt::format("expected a text, got {}", v->describe()));
}

ops::Activation Roles::activation(std::string_view name) {
  const std::string wanted = text(name, "");
  if (wanted.empty()) refuse(name, "is missing");
  const std::optional<ops::Activation> found = ops::find_activation(wanted);
  if (!found) refuse(name, fmt::format("unknown function '{}'", wanted));
  return *found;
}

Module* Roles::plain_module(std::string_view name) {
  const spec::Value* v = find(name);
  if (v == nullptr) return nullptr;
  const spec::MemberRef* member = v->if_member();
  if (member == nullptr) refuse(name, fmt::format("expected a member, got {}", v->describe()));
  Module* found = module_.find(member->path);
  if (found == nullptr) refuse(name, fmt::format("there is no module '{}'", member->path));
  return found;
}

Module& Roles::need(Module* module, std::string_view name) const {
  if (module == nullptr) refuse(name, "is missing");
  return *module;
}

Module* Roles::child(std::string_view name) {
  Module* found = plain_module(name);
  if (found != nullptr) binder_.bind(*found);
  return found;
}
Module& Roles::need_child(std::string_view name) { return need(child(name), name); }

std::vector<Module*> Roles::bound_list(std::string_view name) {
  std::vector<Module*> out;
  for (const auto& layer : need(plain_module(name), name).children()) {
    binder_.layer_index = static_cast<std::int64_t>(out.size());
    binder_.bind(*layer);
    out.push_back(layer.get());
  }
  return out;
}

Module* Roles::linear(std::string_view name, bool transposed) {
  Module* found = plain_module(name);
  if (found != nullptr) binder_.bind_linear(*found, transposed);
  return found;
}
Module& Roles::need_linear(std::string_view name, bool transposed) { return need(linear(name, transposed), name); }

Module* Roles::conv(std::string_view name, ConvGeometry geometry) {
  Module* found = plain_module(name);
  if (found != nullptr) binder_.bind_conv(*found, std::move(geometry));
  return found;
}

Module* Roles::embedding(std::string_view name) {
  Module* found = plain_module(name);
  if (found == nullptr) return nullptr;
  if (found->meta().block) {
    binder_.bind(*found);
  } else {
    binder_.bind_embedding(*found);
  }
  return found;
}
Module& Roles::need_embedding(std::string_view name) { return need(embedding(name), name); }

ModuleTensor* Roles::tensor(std::string_view name) {
  const spec::Value* v = find(name);
  if (v == nullptr) return nullptr;
  const spec::MemberRef* member = v->if_member();
  if (member == nullptr) refuse(name, fmt::format("expected a member, got {}", v->describe()));
  const std::size_t dot = member->path.rfind('.');
  Module* owner = dot == std::string::npos ? &module_ : module_.find(std::string_view(member->path).substr(0, dot));
  ModuleTensor* found = owner == nullptr ? nullptr : tensor_of(*owner, std::string_view(member->path).substr(dot == std::string::npos ? 0 : dot + 1));
  if (found == nullptr) refuse(name, fmt::format("there is no tensor '{}'", member->path));
  return found;
}
ModuleTensor* Roles::tensor_of(Module& owner, std::string_view name) {
  ModuleTensor* found = owner.find_tensor(name);
  if (found == nullptr) return nullptr;
  found->use = TensorUse::read;
  ++found->readers;
  if (&owner != &module_) module_.reads_below = true;
  return found;
}
ModuleTensor& Roles::need_tensor(std::string_view name) {
  ModuleTensor* found = tensor(name);
  if (found == nullptr) refuse(name, "is missing");
  return *found;
}

void Roles::finish() const {
  for (const auto& [key, value] : declared_.properties) {
    if (value.is_null() || read_.contains(key)) continue;
    // A switch that is off, or a factor of one, asks for nothing.
    if (const bool* b = value.if_bool(); b != nullptr && !*b) continue;
    refuse(key, fmt::format("this property (here {}) is not implemented", value.describe()));
  }
}

}  // namespace bigmodel
