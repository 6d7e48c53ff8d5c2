// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/norm.h"

#include <fmt/format.h>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/binder.h"
#include "bigmodel/engine/blocks/mixer_tools.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

class NormPerHead : public BoundBlock {
 public:
  bool runs_on_accelerators() const override { return true; }
  explicit NormPerHead(std::vector<Module*> norms) : norms_(std::move(norms)) {}
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const auto heads = static_cast<std::int64_t>(norms_.size());
    const std::int64_t size = x.width() / heads;
    const OperationsOn on(x, state);
    const Tensor out = beside(x, x.shape());
    for (std::int64_t h = 0; h < heads; ++h) {
      const Tensor normed = (*norms_[static_cast<std::size_t>(h)])(columns(x, h * size, size).reshaped({x.rows(), size}), state);
      ops::CopyShape back{.inner = x.rows(), .width = size};
      back.from_inner = size;
      back.to_inner = x.width();
      on->copy(normed.data(), out.data() + h * size, back);
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

Tensor NormBlock::forward(Module& self, const Arguments& arguments, ForwardState& state) {
  const Tensor& x = arguments.front();
  const ModuleTensor* weight = weightless_ ? nullptr : self.find_tensor("weight");
  const ModuleTensor* bias = weightless_ ? nullptr : self.find_tensor("bias");
  std::int64_t size = weight == nullptr ? x.width() : weight->view.shape.back();
  if (size == 0 || x.width() % size != 0) throw FormatError(fmt::format("module '{}': input of width {}, expected {}", self.name(), x.width(), size));
  Tensor in = x;
  const bool gated = gate_ && arguments.size() > 1;
  const OperationsOn on(x, state);
  const auto times_gate = [&](const Tensor& from, const Tensor& to) {
    on->activate_times(*gate_, arguments[1].data(), from.width(), from.data(), from.width(), from.rows(), from.width(), to.data(), to.width());
  };
  if (gated && gate_first_) {
    in = beside(x, x.shape());
    times_gate(x, in);
  }
  Tensor out = beside(x, x.shape());
  ops::NormWeights w{weight == nullptr ? nullptr : &weight->view, bias == nullptr ? nullptr : &bias->view, eps_, offset_};
  if (groups_ > 1) {
    // The weight runs through all parts of the row.
    if (size % groups_ != 0) throw FormatError(fmt::format("module '{}': {} parts of a row of {}", self.name(), groups_, size));
    size /= groups_;
  }
  on->norm(kind_ == Kind::rms ? ops::NormKind::rms : ops::NormKind::layer, in.data(), x.count() / size, size, w, out.data());
  if (gated && !gate_first_) times_gate(out, out);
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
