// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/binder.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/embedding.h"
#include "bigmodel/engine/blocks/linear.h"

namespace bigmodel {
namespace {

/// The `weight` of a module that is used as a matrix.
ModuleTensor& matrix_of(Module& module) {
  ModuleTensor* weight = module.find_tensor("weight");
  if (weight == nullptr || weight->meta->shape.size() != 2) {
    throw UnsupportedError(fmt::format("module '{}' ({}): cannot be run: used as a matrix, but has no two-dimensional weight", module.name(), module.meta().class_name));
  }
  weight->needed = true;
  return *weight;
}

}  // namespace

void Binder::bind(Module& module) {
  if (module.block() != nullptr) return;
  if (!module.meta().block) {
    throw UnsupportedError(fmt::format("module '{}' ({}): cannot be run: its description gives it no role", module.name(), module.meta().class_name));
  }
  const std::string& kind = module.meta().block->kind;
  const BlockMaker maker = find_block_maker(kind);
  if (maker == nullptr) {
    throw UnsupportedError(fmt::format("module '{}' ({}): cannot be run: blocks of kind '{}' are not implemented", module.name(), module.meta().class_name, kind));
  }
  Roles roles(module, *this);
  std::unique_ptr<BoundBlock> block = maker(roles);
  roles.finish();
  module.set_block(std::move(block));
}

void Binder::bind_linear(Module& module, bool transposed) {
  if (module.block() != nullptr) return;
  matrix_of(module);
  module.set_block(std::make_unique<LinearBlock>(transposed || module.meta().layer_kind == "Conv1D"));
}

void Binder::bind_embedding(Module& module) {
  if (module.block() != nullptr) return;
  matrix_of(module);
  module.set_block(std::make_unique<EmbeddingBlock>());
}

}  // namespace bigmodel
