// SPDX-License-Identifier: Apache-2.0
// Reads the roles of one module (its description's block) while a block is bound to it. What nobody read is refused by name:
// a model is never run with a part of its description ignored.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/engine/blocks/conv.h"
#include "bigmodel/engine/module.h"
#include "bigmodel/ops/activation.h"

namespace bigmodel {

class Binder;

/// All getters throw UnsupportedError (naming module, block kind and property) where a value is of the wrong kind.
class Roles {
 public:
  Roles(Module& module, Binder& binder);

  Module& module() const noexcept { return module_; }
  Binder& binder() const noexcept { return binder_; }

  /// Null where the property is absent or null.
  const spec::Value* find(std::string_view name);
  bool has(std::string_view name) { return find(name) != nullptr; }

  std::int64_t integer(std::string_view name);
  std::int64_t integer(std::string_view name, std::int64_t fallback);
  float number(std::string_view name);
  float number(std::string_view name, float fallback);
  bool boolean(std::string_view name, bool fallback);
  std::string text(std::string_view name, std::string fallback);
  ops::Activation activation(std::string_view name);

  /// The member itself, unbound; null where absent. For lists of modules.
  Module* plain_module(std::string_view name);
  /// A member that has a block of its own, bound; null where absent.
  Module* child(std::string_view name);
  Module& need_child(std::string_view name);
  /// The elements of a list, each bound as the layer of its number. Throws where the list is absent.
  std::vector<Module*> bound_list(std::string_view name);
  /// A member that is a matrix [out, in] (or [in, out] where `transposed`, or by its layer kind) with an optional bias.
  Module* linear(std::string_view name, bool transposed = false);
  Module& need_linear(std::string_view name, bool transposed = false);
  /// A member that is a convolution.
  Module* conv(std::string_view name, ConvGeometry geometry);
  Module& need_conv(std::string_view name, ConvGeometry geometry) { return need(conv(name, std::move(geometry)), name); }
  /// A member whose `weight` [count, size] is looked up by ids; one with a role of its own does as that says.
  Module* embedding(std::string_view name);
  Module& need_embedding(std::string_view name);
  /// A parameter or buffer, which the checkpoint then must have; null where absent.
  ModuleTensor* tensor(std::string_view name);
  ModuleTensor& need_tensor(std::string_view name);
  /// A tensor of a module below that the block reads without calling that module; null where absent.
  ModuleTensor* tensor_of(Module& owner, std::string_view name);

  [[noreturn]] void refuse(std::string_view property, std::string_view what) const;
  /// Throws UnsupportedError where a non-null property was never asked for.
  void finish() const;

 private:
  /// `unread`, which every kind takes: members whose tensors nothing reads in a pass, as the reference does not either.
  void leave_unread(const spec::Value& list);
  Module& need(Module* module, std::string_view name) const;

  Module& module_;
  Binder& binder_;
  const Block& declared_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace bigmodel
