// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/embedding.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

void check_size(const char* what, std::int64_t size) {
  if (size < 1) throw UsageError(fmt::format("{}: size {}, expected 1 or more", what, size));
}

/// A norm's weight that has memory starts with ones.
void fill_with_ones(ModuleTensor& weight) {
  if (weight.is_meta()) return;
  std::vector<float> values(static_cast<std::size_t>(element_count(weight.view.shape)), 1.0F);
  weight.set(moved(cast(stored_tensor(DType::float32, weight.view.shape, std::as_bytes(std::span(values))), weight.view.dtype), *weight.device));
}

const TensorView& weight_of(Module& module, const char* name, const Tensor& x) {
  const TensorView& view = module.find_tensor(name)->view;
  if (view.is_meta()) throw UsageError(fmt::format("module '{}' ({}): its {} is on meta", module.name(), module.class_name(), name), "load a checkpoint first");
  if (x.width() != view.size(0)) throw FormatError(fmt::format("module '{}' ({}): input of width {}, expected {}", module.name(), module.class_name(), x.width(), view.size(0)));
  return view;
}

}  // namespace

Linear::Linear(std::int64_t in_features, std::int64_t out_features, const Options& options) : Module("Linear") {
  check_size("Linear", std::min(in_features, out_features));
  set_layer_kind("Linear");
  register_parameter("weight", {out_features, in_features}, options.home, options.dtype);
  if (options.bias) register_parameter("bias", {out_features}, options.home, options.dtype);
  set_block(std::make_unique<LinearBlock>(false));
}

Embedding::Embedding(std::int64_t count, std::int64_t size, const TensorHome& home, DType dtype) : Module("Embedding") {
  check_size("Embedding", std::min(count, size));
  set_layer_kind("Embedding");
  register_parameter("weight", {count, size}, home, dtype);
  set_block(std::make_unique<EmbeddingBlock>());
}

LayerNorm::LayerNorm(std::int64_t size, float eps, const TensorHome& home, DType dtype) : Module("LayerNorm"), eps_(eps) {
  check_size("LayerNorm", size);
  set_layer_kind("LayerNorm");
  fill_with_ones(register_parameter("weight", {size}, home, dtype));
  register_parameter("bias", {size}, home, dtype);
}

Tensor LayerNorm::forward(const Arguments& arguments, ForwardState& state) {
  const Tensor& x = arguments.front();
  Tensor out = beside(x, x.shape());
  const ops::NormWeights weights{&weight_of(*this, "weight", x), &weight_of(*this, "bias", x), eps_, 0.0F};
  OperationsOn(x, state)->norm(ops::NormKind::layer, x.data(), x.rows(), x.width(), weights, out.data());
  return out;
}

RMSNorm::RMSNorm(std::int64_t size, float eps, const TensorHome& home, DType dtype) : Module("RMSNorm"), eps_(eps) {
  check_size("RMSNorm", size);
  set_layer_kind("RMSNorm");
  fill_with_ones(register_parameter("weight", {size}, home, dtype));
}

Tensor RMSNorm::forward(const Arguments& arguments, ForwardState& state) {
  const Tensor& x = arguments.front();
  Tensor out = beside(x, x.shape());
  OperationsOn(x, state)->norm(ops::NormKind::rms, x.data(), x.rows(), x.width(), {&weight_of(*this, "weight", x), nullptr, eps_, 0.0F}, out.data());
  return out;
}

Tensor Sequential::forward(const Arguments& arguments, ForwardState& state) {
  Tensor x = arguments.front();
  for (const auto& child : children()) x = (*child)(x, state);
  return x;
}

}  // namespace bigmodel
