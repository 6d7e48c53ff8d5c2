// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/embedding.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/engine/weight_slices.h"

namespace bigmodel {
namespace {

/// The rows that the ids ask for, and the ids as numbers of these rows.
StoredTensor bring_rows(WeightSlices& slices, Tensor& ids) {
  const std::vector<std::int64_t> wanted = wanted_slices({ids.i64(), static_cast<std::size_t>(ids.count())});
  const Tensor places(ids.shape(), DType::int64);
  for (std::int64_t i = 0; i < ids.count(); ++i) places.i64()[i] = std::ranges::lower_bound(wanted, ids.i64()[i]) - wanted.begin();
  ids = places;
  return slices.read(wanted);
}

}  // namespace

Tensor EmbeddingBlock::forward(Module& self, const Arguments& arguments, ForwardState& state) {
  const ModuleTensor& weight = *self.find_tensor("weight");
  const TensorView& table = weight.view;
  Tensor ids = arguments.front();
  const std::int64_t count = table.size(0);
  const std::int64_t size = table.size(1);
  Shape shape = ids.shape();
  shape.push_back(size);
  // Those of the processor are always looked at: positions are among them.
  const bool trusted = state.ids_are_chosen && ids.device().accelerator() != nullptr;
  const Tensor looked_at = trusted ? Tensor() : ids.to(cpu_device());
  for (std::int64_t i = 0; i < looked_at.count(); ++i) {
    const std::int64_t id = looked_at.i64()[i];
    if (id < 0 || id >= count) {
      throw UsageError(fmt::format("module '{}': id {}, expected 0 to {}", self.name(), id, count - 1),
                       "the prompt holds a token or a position that the model does not have");
    }
  }
  StoredTensor rows;
  if (weight.slices != nullptr) {
    state.repeatable = state.repeatable && ids.device().accelerator() == nullptr;
    ids = ids.to(cpu_device());
    rows = bring_rows(*weight.slices, ids);
  } else if (weight.device->accelerator() != ids.device().accelerator()) {
    ids = ids.to(*weight.device);
    state.repeatable = false;
  }
  Tensor out = beside(ids, std::move(shape));
  OperationsOn(ids, state)->embedding(weight.slices != nullptr ? rows.view : table, ids.ids(), ids.count(), out.data());
  return out;
}

}  // namespace bigmodel
