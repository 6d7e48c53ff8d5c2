// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/ops/activation.h"

#include <array>
#include <utility>

namespace bigmodel::ops {

std::optional<Activation> find_activation(std::string_view name) noexcept {
  using enum Activation;
  static constexpr std::array<std::pair<std::string_view, Activation>, 22> kNames = {{
      {"linear", identity},         {"relu", relu},
      {"relu6", relu6},             {"relu2", relu_squared},
      {"leaky_relu", leaky_relu},   {"silu", silu},
      {"swish", silu},              {"sigmoid", sigmoid},
      {"tanh", tanh},               {"mish", mish},
      {"softplus", softplus},       {"hardswish", hardswish},
      {"gelu", gelu},               {"gelu_python", gelu},
      {"gelu_new", gelu_tanh},      {"gelu_pytorch_tanh", gelu_tanh},
      {"gelu_python_tanh", gelu_tanh}, {"gelu_accurate", gelu_tanh},
      {"gelu_fast", gelu_tanh},     {"quick_gelu", gelu_quick},
      {"gelu_10", gelu_clipped_10}, {"laplace", laplace},
  }};
  for (const auto& [known, function] : kNames) {
    if (known == name) return function;
  }
  return std::nullopt;
}

}  // namespace bigmodel::ops
