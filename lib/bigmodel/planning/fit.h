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

/// The fullest device, and what each holds. Every device needs the activations and the overhead.
struct Fit {
  FitVerdict verdict = FitVerdict::no;
  std::int64_t usable_bytes = 0;
  std::int64_t weights_bytes = 0, cache_bytes = 0;
  ByteRange activations, overhead, needed;
  std::vector<DeviceShare> shares;  ///< in order; neighbours that hold the same are one
  std::int64_t free_bytes = 0;  ///< after the expected need; negative: what is missing
};

/// request.devices is set from the pool. Throws UsageError where that many cannot divide the layers (SplitMode::tensor).
Fit fit_inference(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool);

/// What of one thing can be had while the rest of the request stays: the largest that at least fits tightly. Empty: not even the least.
/// Contexts up to `most_tokens`; a result equal to it means "that or more".
std::optional<std::int64_t> largest_context(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool,
                                            std::int64_t most_tokens);
std::optional<std::int64_t> largest_batch(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool);
/// The fewest devices of the pool's kind, up to 4096; that divide the layers, where they are divided.
std::optional<std::int64_t> fewest_devices(const InferencePlan& plan, InferenceRequest request, DevicePool pool);

}  // namespace bigmodel
