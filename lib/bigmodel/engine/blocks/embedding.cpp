// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/embedding.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel {

Tensor EmbeddingBlock::forward(Module& self, const Arguments& arguments, ForwardState&) {
  const Tensor& ids = arguments.front();
  const TensorView& table = self.find_tensor("weight")->view;
  const std::int64_t count = table.size(0);
  const std::int64_t size = table.size(1);
  Shape shape = ids.shape();
  shape.push_back(size);
  Tensor out(std::move(shape));
  for (std::int64_t i = 0; i < ids.count(); ++i) {
    const std::int64_t id = ids.i64()[i];
    if (id < 0 || id >= count) {
      throw UsageError(fmt::format("module '{}': id {}, expected 0 to {}", self.name(), id, count - 1),
                       "the prompt holds a token or a position that the model does not have");
    }
    ops::widen(table, id * size, size, out.f32() + i * size);
  }
  return out;
}

}  // namespace bigmodel
