// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/planning/fit.h"

#include <algorithm>
#include <functional>

#include "bigmodel/core/ceil_div.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::int64_t kMostBatch = 1'000'000;
constexpr std::int64_t kMostDevices = 4096;

std::int64_t add(std::int64_t a, std::int64_t b) { return checked_add(a, b, "fit"); }

/// The largest of low..high for which `fits` holds, given that it holds up to some point and then no more.
std::optional<std::int64_t> largest(std::int64_t low, std::int64_t high, const std::function<bool(std::int64_t)>& fits) {
  if (!fits(low)) return std::nullopt;
  if (fits(high)) return high;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

/// A size that does not fit 64 bits fits no device.
bool fits_at_all(const std::function<Fit()>& fit) {
  try {
    return fit().verdict != FitVerdict::no;
  } catch (const FormatError&) {
    return false;
  }
}

}  // namespace

std::string_view to_string(FitVerdict verdict) noexcept {
  switch (verdict) {
    case FitVerdict::fits: return "fits";
    case FitVerdict::tight: return "tight";
    case FitVerdict::no: return "no";
  }
  return "no";
}

Fit fit_inference(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool) {
  request.devices = pool.count;
  const InferenceMemory memory = plan.memory(request);
  Fit out;
  out.usable_bytes = pool.usable_bytes;
  out.shares = plan.split().over(pool.count, request.split, memory.weights_bytes, bit_size(request.dtype), memory.cache);
  out.weights_bytes = fullest(out.shares).weights_bytes;
  out.cache_bytes = fullest(out.shares).cache_bytes;
  out.activations = memory.activations();
  out.overhead = {ceil_div(memory.overhead.low, pool.count), ceil_div(memory.overhead.expected, pool.count),
                  ceil_div(memory.overhead.high, pool.count)};
  const std::int64_t fixed = add(out.weights_bytes, out.cache_bytes);
  out.needed = ByteRange{fixed, fixed, fixed} + out.activations + out.overhead;
  out.free_bytes = out.usable_bytes - out.needed.expected;
  out.verdict = out.needed.high <= out.usable_bytes       ? FitVerdict::fits
                : out.needed.expected <= out.usable_bytes ? FitVerdict::tight
                                                          : FitVerdict::no;
  if (!memory.unknown.empty() && out.verdict == FitVerdict::fits) out.verdict = FitVerdict::tight;  // what is not told may not fit
  return out;
}

std::optional<std::int64_t> largest_context(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool, std::int64_t most_tokens) {
  return largest(1, std::max<std::int64_t>(most_tokens, 1), [&](std::int64_t tokens) {
    request.context = tokens;
    return fits_at_all([&] { return fit_inference(plan, request, pool); });
  });
}

std::optional<std::int64_t> largest_batch(const InferencePlan& plan, InferenceRequest request, const DevicePool& pool) {
  return largest(1, kMostBatch, [&](std::int64_t batch) {
    request.batch = batch;
    return fits_at_all([&] { return fit_inference(plan, request, pool); });
  });
}

std::optional<std::int64_t> fewest_devices(const InferencePlan& plan, InferenceRequest request, DevicePool pool) {
  const auto fits_on = [&](std::int64_t count) {
    pool.count = count;
    return fits_at_all([&] { return fit_inference(plan, request, pool); });
  };
  if (request.split == SplitMode::tensor) {
    for (std::int64_t count = 1; count <= kMostDevices; ++count) {
      if (plan.split().divides(count) && fits_on(count)) return count;
    }
    return std::nullopt;
  }
  // More devices never make it worse but from one to two, where the overhead of communication comes in.
  if (fits_on(1)) return 1;
  if (!fits_on(kMostDevices)) return std::nullopt;
  std::int64_t low = 1, high = kMostDevices;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits_on(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace bigmodel
