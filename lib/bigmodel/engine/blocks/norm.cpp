// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/norm.h"

#include <fmt/format.h>

#include <cstring>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/ops/norm.h"
#include "bigmodel/ops/widen.h"

namespace bigmodel {
namespace {

class NormPerHead : public BoundBlock {
 public:
  explicit NormPerHead(std::vector<Module*> norms) : norms_(std::move(norms)) {}
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const auto heads = static_cast<std::int64_t>(norms_.size());
    const std::int64_t size = x.width() / heads;
    const auto bytes = static_cast<std::size_t>(size) * sizeof(float);
    Tensor out(x.shape());
    for (std::int64_t h = 0; h < heads; ++h) {
      Tensor part({x.rows(), size});
      for (std::int64_t r = 0; r < x.rows(); ++r) std::memcpy(part.f32() + r * size, x.f32() + r * x.width() + h * size, bytes);
      const Tensor normed = (*norms_[static_cast<std::size_t>(h)])(part, state);
      for (std::int64_t r = 0; r < x.rows(); ++r) std::memcpy(out.f32() + r * x.width() + h * size, normed.f32() + r * size, bytes);
    }
    return out;
  }

 private:
  std::vector<Module*> norms_;
};

}  // namespace

NormBlock::NormBlock(Roles& roles, Kind kind)
    : kind_(kind), eps_(roles.number("eps", kind == Kind::rms ? 1e-6F : 1e-5F)), offset_(roles.number("offset", 0.0F)),
      groups_(roles.integer("groups", 1)), weightless_(roles.boolean("weightless", false)), gate_first_(roles.boolean("gate_first", true)) {
  if (roles.has("gate")) gate_ = roles.activation("gate");
  for (ModuleTensor& t : roles.module().tensors()) t.use = weightless_ ? TensorUse::replaced : TensorUse::read;
}

Tensor NormBlock::forward(Module& self, const Arguments& arguments, ForwardState&) {
  const Tensor& x = arguments.front();
  const ModuleTensor* weight = weightless_ ? nullptr : self.find_tensor("weight");
  const ModuleTensor* bias = weightless_ ? nullptr : self.find_tensor("bias");
  std::int64_t size = weight == nullptr ? x.width() : weight->view.shape.back();
  if (size == 0 || x.width() % size != 0) throw FormatError(fmt::format("module '{}': input of width {}, expected {}", self.name(), x.width(), size));
  Tensor in = x;
  const bool gated = gate_ && arguments.size() > 1;
  const auto times_gate = [&](const Tensor& t) {
    Tensor gate = arguments[1].clone();
    ops::activate(*gate_, gate.f32(), gate.count());
    for (std::int64_t i = 0; i < t.count(); ++i) t.f32()[i] *= gate.f32()[i];
  };
  if (gated && gate_first_) {
    in = x.clone();
    times_gate(in);
  }
  Tensor out(x.shape());
  ops::NormWeights w{weight == nullptr ? nullptr : &weight->view, bias == nullptr ? nullptr : &bias->view, eps_, offset_};
  if (groups_ > 1) {
    // The weight runs through all parts of the row.
    if (size % groups_ != 0) throw FormatError(fmt::format("module '{}': {} parts of a row of {}", self.name(), groups_, size));
    size /= groups_;
  }
  const std::int64_t rows = x.count() / size;
  if (kind_ == Kind::rms) {
    ops::rms_norm(in.f32(), rows, size, w, out.f32());
  } else {
    ops::layer_norm(in.f32(), rows, size, w, out.f32());
  }
  if (gated && !gate_first_) times_gate(out);
  return out;
}

std::unique_ptr<BoundBlock> make_rms_norm(Roles& roles) { return std::make_unique<NormBlock>(roles, NormBlock::Kind::rms); }
std::unique_ptr<BoundBlock> make_layer_norm(Roles& roles) { return std::make_unique<NormBlock>(roles, NormBlock::Kind::layer); }

std::unique_ptr<BoundBlock> make_norm_per_head(Roles& roles) {
  Module* list = roles.plain_module("norms");
  if (list == nullptr || list->children().empty()) roles.refuse("norms", "is missing");
  std::vector<Module*> norms;
  for (const auto& norm : list->children()) {
    roles.binder().bind(*norm);
    norms.push_back(norm.get());
  }
  return std::make_unique<NormPerHead>(std::move(norms));
}

}  // namespace bigmodel
