// SPDX-License-Identifier: Apache-2.0
#include "engine/trace_modules.h"

#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "bigmodel/core/error.h"

namespace bigmodel::test {
namespace {

class TraceModule : public Module {
 public:
  using Module::Module;

 protected:
  static std::vector<float> values(Module& module, const std::string& name) {
    const ModuleTensor* t = module.find_tensor(name);
    if (t == nullptr || t->is_meta()) throw UsageError(name + ": is on meta");
    if (t->view.dtype != DType::float32) throw UsageError(name + ": its dtype is not the input's");
    std::vector<float> out(t->size_bytes() / sizeof(float));
    t->device->copy_out(t->view.data, std::as_writable_bytes(std::span(out)));
    return out;
  }
  /// x * weight^T + bias of rows of three.
  static Tensor product(const Tensor& x, const std::vector<float>& weight, const std::vector<float>& bias) {
    Tensor out({x.rows(), 3});
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      for (std::int64_t o = 0; o < 3; ++o) {
        float sum = bias.empty() ? 0.0F : bias[static_cast<std::size_t>(o)];
        for (std::int64_t i = 0; i < 3; ++i) sum += x.f32()[r * 3 + i] * weight[static_cast<std::size_t>(o * 3 + i)];
        out.f32()[r * 3 + o] = sum;
      }
    }
    return out;
  }
  static Tensor each(const Tensor& x, const std::function<float(float, std::size_t)>& f) {
    Tensor out(x.shape());
    for (std::int64_t i = 0; i < x.count(); ++i) out.f32()[i] = f(x.f32()[i], static_cast<std::size_t>(i % 3));
    return out;
  }
  Tensor in_order(Tensor x, ForwardState& state) {
    for (const auto& child : children()) x = (*child)(x, state);
    return x;
  }

  Tensor forward(const Arguments& arguments, ForwardState& state) override {
    const Tensor& x = arguments.front();
    if (x.is_meta()) throw UsageError("the input is on meta");
    const std::string& kind = class_name();
    if (kind == "Net") return in_order(x, state);
    if (kind == "Empty") return x;
    if (kind == "Block") {
      const Tensor y = in_order(x, state);
      return each(x, [&, at = std::size_t{0}](float v, std::size_t) mutable { return v + y.f32()[at++]; });
    }
    if (kind == "ScaledBlock" || kind == "Scale") {
      const std::vector<float> w = values(*this, kind == "Scale" ? "weight" : "scale");
      const Tensor scaled = each(x, [&](float v, std::size_t k) { return v * w[k]; });
      return kind == "Scale" ? scaled : in_order(scaled, state);
    }
    if (kind == "Shift") {
      const std::vector<float> w = values(*this, "weight"), offset = values(*this, "offset"), step = values(*this, "step");
      return each(x, [&](float v, std::size_t k) { return v * w[k] + offset[k] + step[k]; });
    }
    if (kind == "OnlyBuffers") {
      const std::vector<float> table = values(*this, "table");
      return each(x, [&](float v, std::size_t k) { return v + table[k]; });
    }
    Module& holder = kind == "ReadsChild" ? *find("dense") : *this;
    return product(x, values(holder, "weight"), holder.find_tensor("bias") == nullptr ? std::vector<float>{} : values(holder, "bias"));
  }
};

}  // namespace

std::unique_ptr<Module> make_trace_module(const std::string& name, const std::shared_ptr<const ModuleTemplate>& meta) {
  return std::make_unique<TraceModule>(name, meta);
}

}  // namespace bigmodel::test
