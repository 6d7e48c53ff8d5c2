// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/mlp.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/blocks/linear.h"
#include "bigmodel/engine/blocks/shared_layer.h"
#include "bigmodel/engine/operations_on.h"

namespace bigmodel {
namespace {

class Mlp : public BoundBlock {
 public:
  bool runs_on_accelerators() const override { return true; }
  explicit Mlp(Roles& roles) : act_(roles.activation("act")) {
    const std::string layout = roles.text("layout", "");
    if (!layout.empty() && layout != "transposed") roles.refuse("layout", fmt::format("unknown layout '{}'", layout));
    up_ = &roles.need_linear("up", layout == "transposed");
    down_ = &roles.need_linear("down", layout == "transposed");
  }
  Tensor forward(Module&, const Arguments& arguments, ForwardState& state) override {
    const Tensor h = (*up_)(arguments.front(), state);
    OperationsOn(h, state)->activate(act_, h.data(), h.count());
    return (*down_)(h, state);
  }

 private:
  ops::Activation act_;
  Module* up_;
  Module* down_;
};

class GatedMlp : public BoundBlock {
 public:
  bool runs_on_accelerators() const override { return true; }
  explicit GatedMlp(Roles& roles)
      : act_(roles.activation("act")), gate_(roles.linear("gate")), up_(roles.linear("up")), gate_up_(roles.linear("gate_up")),
        down_(&roles.need_linear("down")), adapter_(roles, "adapters"), gate_scale_(roles.number("gate_scale", 1.0F)), out_scale_(roles.number("out_scale", 1.0F)) {
    if (gate_up_ != nullptr && gate_scale_ != 1.0F) roles.refuse("gate_scale", "with gate and up in one matrix");
    if ((gate_up_ == nullptr) == (gate_ == nullptr || up_ == nullptr)) roles.refuse("gate_up", "expected either gate and up, or gate_up");
  }
  Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    const OperationsOn on(x, state);
    if (gate_up_ == nullptr) {
      const LinearBlock* gate_block = plain_linear(*gate_);
      const LinearBlock* up_block = plain_linear(*up_);
      if (on.accelerator() != nullptr && gate_block != nullptr && up_block != nullptr && !gate_block->transposed() && !up_block->transposed()) {
        return down(gated_product(*gate_, *up_, x, act_, gate_scale_, state), state);
      }
      const Tensor gate = (*gate_)(x, state);
      const Tensor up = (*up_)(x, state);
      if (gate_scale_ != 1.0F) scale_by(gate, gate_scale_);
      on->activate(act_, gate.data(), gate.count());
      on->multiply(gate.data(), up.data(), gate.count());
      return down(gate, state);
    }
    const Tensor both = (*gate_up_)(x, state);
    adapter_.add_to(both, x, state);
    if (both.width() % 2 != 0) throw FormatError(fmt::format("module '{}': gate and up of width {}", self.name(), both.width()));
    const std::int64_t width = both.width() / 2;
    Shape shape = both.shape();
    shape.back() = width;
    const Tensor h = beside(both, std::move(shape));
    on->activate_times(act_, both.data(), 2 * width, both.data() + width, 2 * width, both.rows(), width, h.data(), width);
    return down(h, state);
  }

 private:
  Tensor down(const Tensor& h, ForwardState& state) const {
    Tensor out = (*down_)(h, state);
    if (out_scale_ != 1.0F) scale_by(out, out_scale_);
    return out;
  }

  ops::Activation act_;
  Module* gate_;
  Module* up_;
  Module* gate_up_;
  Module* down_;
  Adapter adapter_;
  float gate_scale_, out_scale_;
};

}  // namespace

std::unique_ptr<BoundBlock> make_mlp(Roles& roles) { return std::make_unique<Mlp>(roles); }
std::unique_ptr<BoundBlock> make_gated_mlp(Roles& roles) { return std::make_unique<GatedMlp>(roles); }

}  // namespace bigmodel
