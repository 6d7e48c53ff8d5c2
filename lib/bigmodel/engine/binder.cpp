// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/binder.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/embedding.h"
#include "bigmodel/engine/blocks/linear.h"

namespace bigmodel {
namespace {

/// The `weight` of a module that is used as a matrix.
ModuleTensor& matrix_of(Module& module) {
  ModuleTensor* weight = module.read_tensor("weight");
  if (weight == nullptr || weight->meta->shape.size() != 2) {
    throw UnsupportedError(fmt::format("module '{}' ({}): cannot be run: used as a matrix, but has no two-dimensional weight", module.name(), module.meta().class_name));
  }
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
  module.read_tensor("bias");
  module.set_block(std::make_unique<LinearBlock>(transposed || module.meta().layer_kind == "Conv1D"));
}

void Binder::bind_conv(Module& module, ConvGeometry geometry) {
  if (module.block() != nullptr) return;
  ModuleTensor* weight = module.read_tensor("weight");
  module.read_tensor("bias");
  const std::size_t dims = weight == nullptr ? 0 : weight->meta->shape.size() - std::min<std::size_t>(2, weight->meta->shape.size());
  if (dims < 1 || dims > 3 || geometry.groups < 1 || weight->meta->shape[0] % geometry.groups != 0) {
    throw UnsupportedError(fmt::format("module '{}' ({}): cannot be run: used as a convolution, but its weight does not fit one", module.name(), module.meta().class_name));
  }
  geometry.stride.resize(dims, 1);
  geometry.padding.resize(dims, 0);
  for (std::size_t d = 0; d < dims; ++d) {
    if (geometry.stride[d] < 1 || geometry.padding[d] < 0 || geometry.padding[d] > 1'000'000) {
      throw UnsupportedError(fmt::format("module '{}' ({}): cannot be run: stride {}, padding {}", module.name(), module.meta().class_name, geometry.stride[d], geometry.padding[d]));
    }
  }
  module.set_block(std::make_unique<ConvBlock>(std::move(geometry)));
}

void Binder::bind_embedding(Module& module) {
  if (module.block() != nullptr) return;
  matrix_of(module);
  module.set_block(std::make_unique<EmbeddingBlock>());
}

}  // namespace bigmodel
