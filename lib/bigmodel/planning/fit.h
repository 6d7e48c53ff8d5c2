// SPDX-License-Identifier: Apache-2.0
// Whether a model runs on given devices, and the largest context, batch or dtype (or the fewest devices) with which it does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bigmodel/planning/device_table.h"
#include "bigmodel/planning/inference_memory.h"

namespace bigmodel {

enum class FitVerdict {
  fits,   ///< the upper bound too, and everything is known
  tight,  ///< the expected figure does, the upper bound does not
  no,
};

std::string_view to_string(FitVerdict verdict) noexcept;

/// The fullest device. Several devices share layers and caches evenly (pipeline or device map); each needs the activations, and the
/// fullest may hold one layer more than the average.
struct Fit {
  FitVerdict verdict = FitVerdict::no;
  std::int64_t usable_bytes = 0;
  std::int64_t weights_bytes = 0, cache_bytes = 0;
  ByteRange activations, overhead, needed;
  std::int64_t free_bytes = 0;  ///< after the expected need; negative: what is missing
};

/// `largest_layer_bytes` in the request's dtype; counts where there are several devices. request.devices is set from the pool.
Fit fit_inference(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool, std::int64_t largest_layer_bytes);

/// What of one thing can be had while the rest of the request stays: the largest that at least fits tightly. Empty: not even the least.
/// Contexts up to `most_tokens`; a result equal to it means "that or more".
std::optional<std::int64_t> largest_context(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool,
                                            std::int64_t largest_layer_bytes, std::int64_t most_tokens);
std::optional<std::int64_t> largest_batch(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool,
                                          std::int64_t largest_layer_bytes);
/// The fewest devices of the pool's kind, up to 4096.
std::optional<std::int64_t> fewest_devices(const InferencePlan& plan, InferenceRequest request, DevicePool pool,
                                           std::int64_t largest_layer_bytes);

}  // namespace bigmodel
