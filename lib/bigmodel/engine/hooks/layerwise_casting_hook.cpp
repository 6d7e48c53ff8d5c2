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

void attach(Module& module, const LayerwiseCasting& options, const std::vector<std::regex>& patterns, std::size_t prefix) {
  const std::string name = module.name().size() > prefix ? module.name().substr(prefix) : std::string{};
  if (std::ranges::find(options.skip_modules_classes, module.class_name()) != options.skip_modules_classes.end()) return;
  if (std::ranges::any_of(patterns, [&](const std::regex& p) { return std::regex_search(name, p); })) return;
  if (is_cast_layer(module)) {
    module.add_hook(std::make_shared<LayerwiseCastingHook>(options.storage_dtype, options.compute_dtype), true);
    return;
  }
  for (const auto& child : module.children()) attach(*child, options, patterns, prefix);
}

}  // namespace

void LayerwiseCastingHook::abandon_forward(Module& module) noexcept {
  try {
    module.to(storage_dtype_);
  } catch (...) {
    // The weights stay as they are: computing with them is right, only larger.
  }
}

std::string LayerwiseCastingHook::describe() const {
  return fmt::format("LayerwiseCastingHook(storage_dtype={}, compute_dtype={})", bigmodel::name(storage_dtype_), bigmodel::name(compute_dtype_));
}

void attach_layerwise_casting_hooks(Module& module, const LayerwiseCasting& options) {
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
  attach(module, options, patterns, module.name().empty() ? 0 : module.name().size() + 1);
}

}  // namespace bigmodel
