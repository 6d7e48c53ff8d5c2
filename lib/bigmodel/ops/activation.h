// SPDX-License-Identifier: Apache-2.0
// The element-wise functions that configs name in hidden_act and its like.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "bigmodel/device/cpu/cpu_context.h"

namespace bigmodel::ops {

enum class Activation : std::uint8_t {
  identity, relu, relu6, relu_squared, leaky_relu, silu, sigmoid, tanh, mish, softplus, hardswish,
  gelu,            ///< with erf
  gelu_tanh,       ///< gelu_new, gelu_fast, gelu_pytorch_tanh: the tanh approximation
  gelu_quick,      ///< x * sigmoid(1.702 x)
  gelu_clipped_10, ///< gelu, clipped to [-10, 10]
  laplace,
};

/// transformers' names ("silu", "gelu_new", ...). nullopt for unknown ones.
std::optional<Activation> find_activation(std::string_view name) noexcept;

float activate(Activation function, float x) noexcept;

/// In place, shared out over the threads. silu is within 3e-7 of the exact value, relatively; the others are exact to rounding.
void activate(const CpuContext& cpu, Activation function, float* x, std::int64_t count);
/// In place.
void activate(Activation function, float* x, std::int64_t count) noexcept;

}  // namespace bigmodel::ops
