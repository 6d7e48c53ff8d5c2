// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/blocks/positions.h"

#include <cmath>

namespace bigmodel {
namespace {

class SinusoidalPositions : public BoundBlock {
 public:
  explicit SinusoidalPositions(Roles& roles) : size_(roles.integer("size")), zero_row_(roles.integer("zero_row", -1)) {
    if (size_ < 4) roles.refuse("size", "is too small");
    const std::string spread = roles.text("spread", "");
    if (!spread.empty() && spread != "size") roles.refuse("spread", "is unknown");
    steps_ = spread.empty() ? size_ / 2 - 1 : size_ / 2;
    for (ModuleTensor& t : roles.module().tensors()) t.use = TensorUse::replaced;
  }

  Tensor forward(Module&, const Arguments& arguments, ForwardState&) override {
    const Tensor& ids = arguments.front();
    Shape shape = ids.shape();
    shape.push_back(size_);
    Tensor out = Tensor::zeros(std::move(shape));
    const std::int64_t half = size_ / 2;
    const auto step = static_cast<float>(std::log(10000.0) / static_cast<double>(steps_));
    for (std::int64_t r = 0; r < ids.count(); ++r) {
      if (ids.i64()[r] == zero_row_) continue;
      for (std::int64_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(ids.i64()[r]) * std::exp(static_cast<float>(i) * -step);
        out.f32()[r * size_ + i] = std::sin(angle);
        out.f32()[r * size_ + half + i] = std::cos(angle);
      }
    }
    return out;
  }

 private:
  std::int64_t size_, zero_row_, steps_ = 1;
};

}  // namespace

std::unique_ptr<BoundBlock> make_sinusoidal_positions(Roles& roles) { return std::make_unique<SinusoidalPositions>(roles); }

}  // namespace bigmodel
