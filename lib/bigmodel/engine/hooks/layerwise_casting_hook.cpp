// SPDX-License-Identifier: Apache-2.0
// Reference: accelerate 1.15, big_modeling.py, attach_layerwise_casting_hooks.
#include "bigmodel/engine/hooks/layerwise_casting_hook.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::array<std::string_view, 7> kCastLayers = {"Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"};

bool is_cast_layer(const Module& module) {
  const std::string& kind = module.layer_kind().empty() ? module.class_name() : module.layer_kind();
  return std::ranges::find(kCastLayers, kind) != kCastLayers.end();
}

/// Whether every value of one dtype is one of the other, so that the way there and back changes nothing.
bool is_wider(DType storage, DType compute) {
  const auto parts = [](DType d) -> std::pair<int, int> {   // bits of exponent and fraction
    switch (d) {
      case DType::float8_e4m3fn: return {4, 3};
      case DType::float8_e5m2: return {5, 2};
      case DType::float16: return {5, 10};
      case DType::bfloat16: return {8, 7};
      case DType::float32: return {8, 23};
      case DType::float64: return {11, 52};
      default: return {0, 0};
    }
  };
  const auto [se, sf] = parts(storage);
  const auto [ce, cf] = parts(compute);
  // Subnormals of a storage dtype with as many bits of exponent need no more fraction than its normal numbers.
  return se > 0 && ce >= se && cf >= sf && compute != DType::float8_e4m3fn;
}

void choose(Module& module, const LayerwiseCasting& options, const std::vector<std::regex>& patterns, std::size_t prefix, std::vector<Module*>& out) {
  const std::string name = module.name().size() > prefix ? module.name().substr(prefix) : std::string{};
  if (std::ranges::find(options.skip_modules_classes, module.class_name()) != options.skip_modules_classes.end()) return;
  if (std::ranges::any_of(patterns, [&](const std::regex& p) { return std::regex_search(name, p); })) return;
  if (is_cast_layer(module)) {
    out.push_back(&module);
    return;
  }
  for (const auto& child : module.children()) choose(*child, options, patterns, prefix, out);
}

}  // namespace

void LayerwiseCastingHook::pre_forward(Module& module, Arguments&, ForwardState&) {
  stored_.clear();
  if (is_wider(storage_dtype_, compute_dtype_)) {
    module.for_each([&](Module& m) {
      for (ModuleTensor& t : m.tensors()) {
        if (!t.is_meta() && t.view.dtype == storage_dtype_) stored_.push_back({&t, t, nullptr});
      }
    });
  }
  module.to(compute_dtype_);
  for (Stored& s : stored_) s.cast = s.tensor->view.data;
}

/// Stored elements take their places again rather than being cast a second time: nothing is lost on the way that was wider.
void LayerwiseCastingHook::back_to_storage(Module& module) {
  Module& root = module.root();
  for (const Stored& s : stored_) {
    if (s.cast != nullptr && s.tensor->view.data == s.cast) replace_parameter(root, *s.tensor, s.value);
  }
  stored_.clear();
  module.to(storage_dtype_);
}

void LayerwiseCastingHook::abandon_forward(Module& module) noexcept {
  try {
    back_to_storage(module);
  } catch (...) {
    // The weights stay as they are: computing with them is right, only larger.
  }
}

std::string LayerwiseCastingHook::describe() const {
  return fmt::format("LayerwiseCastingHook(storage_dtype={}, compute_dtype={})", bigmodel::name(storage_dtype_), bigmodel::name(compute_dtype_));
}

std::vector<Module*> layerwise_casting_modules(Module& module, const LayerwiseCasting& options) {
  for (const DType dtype : {options.storage_dtype, options.compute_dtype}) {
    if (!is_floating_point(dtype)) throw UsageError(fmt::format("layerwise casting: dtype {}, expected a floating-point one", bigmodel::name(dtype)));
  }
  std::vector<std::regex> patterns;
  for (const std::string& pattern : options.skip_modules_pattern) {
    try {
      patterns.emplace_back(pattern);
    } catch (const std::regex_error& e) {
      throw UsageError(fmt::format("layerwise casting: skip pattern '{}': {}", pattern.substr(0, 80), e.what()));
    }
  }
  std::vector<Module*> out;
  choose(module, options, patterns, module.name().empty() ? 0 : module.name().size() + 1, out);
  return out;
}

void attach_layerwise_casting_hooks(Module& module, const LayerwiseCasting& options) {
  for (Module* m : layerwise_casting_modules(module, options)) m->add_hook(std::make_shared<LayerwiseCastingHook>(options.storage_dtype, options.compute_dtype), true);
}

}  // namespace bigmodel
