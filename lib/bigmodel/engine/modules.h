// SPDX-License-Identifier: Apache-2.0
// Ready modules for models of one's own: Linear, Embedding, LayerNorm, RMSNorm, Sequential. Activations are float32; weights may be float32,
// bfloat16 or float16. Without a checkpoint weights are zeros (those of norms ones).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bigmodel/engine/module.h"

namespace bigmodel {

/// [..., in] -> [..., out]: x * weight^T + bias. `weight` is [out, in].
class Linear : public Module {
 public:
  struct Options {
    bool bias = true;
    TensorHome home;
    DType dtype = DType::float32;
  };
  /// Throws UsageError for sizes below 1.
  Linear(std::int64_t in_features, std::int64_t out_features, const Options& options);
  Linear(std::int64_t in_features, std::int64_t out_features, const TensorHome& home = {}) : Linear(in_features, out_features, Options{.home = home}) {}
};

/// int64 [...] -> [..., size]: rows of `weight`, [count, size]. The forward throws UsageError for an id that there is no row of.
class Embedding : public Module {
 public:
  Embedding(std::int64_t count, std::int64_t size, const TensorHome& home = {}, DType dtype = DType::float32);
};

/// [..., size] -> the same: rows normed by mean and variance, then weight and bias.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(std::int64_t size, float eps = 1e-5F, const TensorHome& home = {}, DType dtype = DType::float32);

 protected:
  Tensor forward(const Arguments& arguments, ForwardState& state) override;

 private:
  float eps_;
};

/// [..., size] -> the same: rows normed by their mean square, then weight.
class RMSNorm : public Module {
 public:
  explicit RMSNorm(std::int64_t size, float eps = 1e-6F, const TensorHome& home = {}, DType dtype = DType::float32);

 protected:
  Tensor forward(const Arguments& arguments, ForwardState& state) override;

 private:
  float eps_;
};

/// Its children one after the other; they are named "0", "1", ... .
class Sequential : public Module {
 public:
  Sequential() : Module("Sequential") {}
  Module& append(std::unique_ptr<Module> child) { return add_module(std::to_string(children().size()), std::move(child)); }

 protected:
  Tensor forward(const Arguments& arguments, ForwardState& state) override;
};

}  // namespace bigmodel
