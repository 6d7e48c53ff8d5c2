// SPDX-License-Identifier: Apache-2.0
// Binds blocks to modules by the kinds of their roles: the one place that knows which kinds there are.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "bigmodel/engine/blocks/conv.h"
#include "bigmodel/engine/module.h"
#include "bigmodel/engine/roles.h"

namespace bigmodel {

/// Makes a block for a module from its roles; throws UnsupportedError where it cannot run them.
using BlockMaker = std::unique_ptr<BoundBlock> (*)(Roles&);

/// The maker of a kind ("attention", "gated_mlp", ...), or null. The table is in blocks/block_kinds.cpp.
BlockMaker find_block_maker(std::string_view kind);

class Binder {
 public:
  /// By the module's own role, and everything that the role names. Bound modules are left alone.
  /// Throws UnsupportedError: no role, an unknown kind, a property that the kind does not know, a missing member.
  void bind(Module& module);
  /// As a matrix product. A GPT-2 style Conv1D is transposed by itself.
  void bind_linear(Module& module, bool transposed);
  /// As a convolution with a weight [out, in / groups, kernel...]. Missing values of the geometry are filled: stride 1, no padding.
  void bind_conv(Module& module, ConvGeometry geometry);
  /// As a table of rows.
  void bind_embedding(Module& module);

  /// A number for each mixer, which is its place in the cache.
  std::size_t next_cache_slot() { return cache_slots_++; }
  std::size_t cache_slots() const noexcept { return cache_slots_; }
  /// The number of the layer that is being bound, from 0.
  std::int64_t layer_index = 0;
  /// Which use of a shared block is being bound; -1 outside of one.
  std::int64_t shared_use = -1;

 private:
  std::size_t cache_slots_ = 0;
};

}  // namespace bigmodel
